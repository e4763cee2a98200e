# Sourced by ./test and ./demo: what Debian 12 must have, beyond the base system.
# need PACKAGE... installs as root what is missing, and names it otherwise.

# to build; to make and judge images; to run the tests
BUILD_NEEDS="gcc libc6-dev meson ninja-build pkg-config libfuse3-dev uuid-dev libisal-dev libbsd-dev \
	zlib1g-dev liblzo2-dev libzstd-dev libxxhash-dev libgcrypt20-dev"
IMAGE_NEEDS="btrfs-progs fuse3 mount util-linux kmod python3"
TEST_NEEDS="clang spin libcmocka-dev python3-pytest python3-pytest-timeout python3-hypothesis \
	acl attr debhelper dpkg-dev e2fsprogs fio git procps psmisc strace xz-utils"

missing() {
	for package in "$@"; do
		case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
		installed) ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

need() {
	command -v dpkg-query >/dev/null || return 0	# not Debian: the build will say what it lacks
	gone=$(missing "$@")
	if [ -n "$gone" ] && [ "$(id -u)" = 0 ]; then
		echo "installing: $gone"
		export DEBIAN_FRONTEND=noninteractive
		log=$(mktemp)
		# shellcheck disable=SC2086
		{ apt-get update && apt-get install -y --no-install-recommends $gone; } >"$log" 2>&1 ||
			tail -n 20 "$log" >&2
		rm -f "$log"
		gone=$(missing "$@")
	fi
	if [ -n "$gone" ]; then
		echo "missing packages: $gone" >&2
		echo "as root: apt-get install $gone" >&2
		exit 1
	fi
}

# Modules that a fresh machine loads on demand only.
if [ "$(id -u)" = 0 ] && command -v modprobe >/dev/null; then
	modprobe -a fuse loop btrfs 2>/dev/null || true
fi
