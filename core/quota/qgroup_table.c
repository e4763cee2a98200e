/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup_table.c - see qgroup_table.h. */
#include "core/quota/qgroup_table.h"

static int by_id(const struct qgroup *a, const struct qgroup *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

RB_TREE(qgroup_tree, qgroup, link, by_id)

struct qgroup *qgroup_find(struct quota *q, u64 id)
{
	struct qgroup want = {.id = id};

	return RB_FIND(qgroup_tree, &q->groups, &want);
}

int qgroup_get(struct quota *q, u64 id, struct qgroup **ret)
{
	struct qgroup *group = qgroup_find(q, id);

	if (!group) {
		group = calloc(1, sizeof(*group));
		if (!group)
			return -ENOMEM;
		group->id = id;
		RB_INSERT(qgroup_tree, &q->groups, group);
	}
	*ret = group;
	return 0;
}

int qgroup_link(struct qgroup *child, struct qgroup *parent)
{
	struct qgroup **parents = reallocarray(child->parents, child->parent_count + 1ul,
					       sizeof(struct qgroup *));

	if (!parents)
		return -ENOMEM;
	parents[child->parent_count++] = parent;
	child->parents = parents;
	return 0;
}

struct qgroup *qgroup_first(struct quota *q)
{
	return RB_MIN(qgroup_tree, &q->groups);
}

struct qgroup *qgroup_next(struct qgroup *group)
{
	return RB_NEXT(qgroup_tree, NULL, group);
}

void qgroup_unlink(struct qgroup *child, struct qgroup *parent)
{
	u32 kept = 0;

	for (u32 i = 0; i < child->parent_count; i++)
		if (child->parents[i] != parent)
			child->parents[kept++] = child->parents[i];
	child->parent_count = kept;
}

void qgroup_forget(struct quota *q, struct qgroup *group)
{
	RB_REMOVE(qgroup_tree, &q->groups, group);
	free(group->parents);
	free(group);
}

void qgroup_table_free(struct quota *q)
{
	struct qgroup *group;

	while ((group = qgroup_first(q)))
		qgroup_forget(q, group);
}

void quota_begin_rescan(struct quota *q)
{
	for (struct qgroup *group = qgroup_first(q); group; group = qgroup_next(group)) {
		group->rfer = group->excl = 0;
		group->dirty = true;
	}
	q->gave_up = false;
	q->rescan = 0;
	q->flags |= BTRFS_QGROUP_STATUS_FLAG_RESCAN;
}

static void climb(struct quota *q, struct qgroup *group, struct qgroup_list *met, bool after)
{
	if (group->visit == q->visits)
		return;
	group->visit = q->visits;
	if (!group->listed) {
		group->listed = true;
		group->before = group->after = 0;
		SLIST_INSERT_HEAD(met, group, met);
	}
	if (after)
		group->after++;
	else
		group->before++;
	for (u32 i = 0; i < group->parent_count; i++)
		climb(q, group->parents[i], met, after);
}

void qgroup_meet(struct quota *q, u64 root, struct qgroup_list *met, bool after)
{
	struct qgroup *group = qgroup_find(q, root);

	q->visits++;
	if (group)
		climb(q, group, met, after);
}

void qgroup_part(struct qgroup_list *met)
{
	struct qgroup *group;

	SLIST_FOREACH(group, met, met)
		group->listed = false;
	SLIST_INIT(met);
}
