#!/bin/sh
# Makes a checkout ready: Debian packages, npm packages, build. Run by npm's setup, build, demo, test and bench.
# Repeatable, and quick when there is nothing to do. Never starts a service, and leaves none of its own enabled.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="iproute2 nftables libnftables1 iputils-ping iperf3 tcpdump bind9-dnsutils procps util-linux etcd-server"
DOCKER="containerd docker.io" # for the tests; where another dockerd is installed, that one does
SERVICES="etcd-server:etcd.service iperf3:iperf3.service containerd:containerd.service
  docker.io:docker.service docker.io:docker.socket" # what these packages would run
OLDEST_NODE=20.19.0

# To stderr: what runs after it may have a document to print.
say() { printf 'setup: %-17s%s\n' "$1" "$2" >&2; }
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

work=$(mktemp -d)
policy_laid=
tidy() {
  [ -z "$policy_laid" ] || lift_policy
  rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

check_node() {
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail "node or npm is missing; install Node.js $OLDEST_NODE or later with npm, then run this again"
  # In ES5, so that an old node can still say that it is old.
  node -e '
    var have = process.versions.node.split(".").map(Number), want = process.argv[1].split(".").map(Number);
    for (var i = 0; i < 3; i++) if (have[i] !== want[i]) process.exit(have[i] > want[i] ? 0 : 1);
  ' "$OLDEST_NODE" || fail "node $(node -v) is too old; install Node.js $OLDEST_NODE or later, then run this again"
}

# --- Debian packages ---

missing_packages() {
  # shellcheck disable=SC2086 # a list
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' $PACKAGES >"$work/packages" 2>/dev/null || :
  for package in $PACKAGES; do
    grep -qx "installed $package" "$work/packages" || printf '%s ' "$package"
  done
}

# While packages are installed, invoke-rc.d asks this file, and 101 means: do not start it.
POLICY=/usr/sbin/policy-rc.d
POLICY_ASIDE=$POLICY.set-aside-by-weft
POLICY_MARK='# Laid by the set-up of weft while it installs packages.'

lay_policy() {
  lift_policy # of a set-up that was killed
  if [ -x "$POLICY" ]; then
    status=0
    "$POLICY" etcd start >/dev/null 2>&1 </dev/null || status=$?
    [ "$status" -ne 101 ] || return 0 # the machine's own policy says the same
  fi
  policy_laid=yes
  if [ -e "$POLICY" ] || [ -L "$POLICY" ]; then mv "$POLICY" "$POLICY_ASIDE"; fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
  chmod 755 "$POLICY"
}

lift_policy() {
  if grep -qsxF "$POLICY_MARK" "$POLICY"; then rm -f "$POLICY"; fi
  if [ -e "$POLICY_ASIDE" ] || [ -L "$POLICY_ASIDE" ]; then mv "$POLICY_ASIDE" "$POLICY"; fi
  policy_laid=
}

# Keeps the services of what was installed just now from starting at the next boot. One that was there before is the
# machine's own affair.
disable_services() {
  for service in $SERVICES; do
    case " $1 " in
      *" ${service%%:*} "*) ;;
      *) continue ;;
    esac
    command -v systemctl >/dev/null || continue
    systemctl disable "${service#*:}" >>"$work/log" 2>&1 ||
      say "Debian packages" "could not disable ${service#*:}; do it by hand: systemctl disable ${service#*:}"
  done
}

install_packages() {
  PATH="$PATH:/usr/sbin" command -v dockerd >/dev/null || PACKAGES="$PACKAGES $DOCKER"
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "this is no Debian system (dpkg and apt are missing); Weft is set up on Debian 12 or later" \
      "the programs it needs come from: $PACKAGES"
  missing=$(missing_packages)
  if [ -z "$missing" ]; then
    say "Debian packages" "present"
    return
  fi
  [ "$(id -u)" -eq 0 ] ||
    fail "Debian packages are missing and only root can install them; as root run: apt-get install $missing"
  say "Debian packages" "installing $missing"
  lay_policy
  export DEBIAN_FRONTEND=noninteractive
  # A failing update is not the end: one broken source of many, or lists that are recent enough.
  apt-get update -q >"$work/log" 2>&1 </dev/null || :
  # Nothing of the machine's is removed, whatever is in the way: then it fails, and says what it is.
  # shellcheck disable=SC2086 # a list
  if ! apt-get install -q -y --no-remove --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=3 $missing >>"$work/log" 2>&1 </dev/null; then
    tail -n 25 "$work/log" >&2
    fail "apt-get could not install: $missing" "see above; is Debian's archive reachable? Then run this again"
  fi
  disable_services "$missing"
  lift_policy
  still=$(missing_packages)
  [ -z "$still" ] || fail "apt-get said it was done, but these are missing: $still"
  say "Debian packages" "installed"
}

# --- npm packages ---

install_modules() {
  if node deploy/modules-current.js; then
    say "npm packages" "present"
    return
  fi
  say "npm packages" "installing (npm ci)"
  # The tests and the build need the development packages, whatever NODE_ENV says. None needs its install script, and
  # some would compile what is not used.
  npm ci --include=dev --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error >"$work/log" 2>&1 </dev/null || {
    cat "$work/log" >&2
    fail "npm ci failed, see above; is the npm registry reachable? Then run this again"
  }
  say "npm packages" "installed"
}

build() {
  began=$(date +%s)
  node_modules/.bin/tsc -p tsconfig.json >&2 || fail "the build failed: mend the errors above, then run this again"
  say "build" "done in $(($(date +%s) - began)) s"
}

check_node
# One at a time in a checkout: two npm ci would pull the modules from under each other.
if command -v flock >/dev/null; then
  exec 9<deploy/setup.sh
  flock -n 9 || {
    say "waiting" "for another set-up of this checkout"
    flock 9
  }
fi
install_packages
install_modules
build
