#!/bin/sh
# Everything about the code that needs no kernel: `npm run check`. All steps run, in two lanes (the lint takes about as
# long as all others together), and the exit status is 1 if any of them failed. `npm run check -- STEP...` runs some.
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"

FOLDERS="agent bench cli controller core deploy e2e proto"

[ -d node_modules ] || {
  echo "check: npm packages are missing; run: npm run setup" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p node_modules/.cache

# The build's own record of what it has emitted is left alone.
step_types() { tsc -p tsconfig.json --noEmit --tsBuildInfoFile node_modules/.cache/check.tsbuildinfo; }

step_lint() { eslint --max-warnings 0 .; }

step_format() { prettier --log-level warn --check .; }

# shellcheck disable=SC2086 # a list
step_architecture() { depcruise --config .dependency-cruiser.cjs --output-type err-long $FOLDERS vitest.config.ts; }

# Twice: what is used by nothing at all, and what is used by tests only.
# The second run looks at what is installed alone: a file that only tests import is dead code. An export that only a
# test imports is not: pure rules are tested one by one.
step_dead_code() { knip --no-progress && knip --no-progress --production --include files,dependencies; }

step_proto_lint() { buf lint; }

step_proto_generated() {
  buf generate -o "$work/generated" || return 1
  node deploy/descriptors.js "$work/generated/proto/gen/descriptors.ts" || return 1
  diff -r "$work/generated/proto/gen" proto/gen || {
    echo "proto/gen is not what proto/ generates; run: npm run proto"
    return 1
  }
}

# A change must not break those who speak the version before it: the last release; before the first release, the commit
# before (the last one, while there are changes that are not committed). From git's history and not from a file that is
# kept beside: what was, cannot be adjusted. Before the first release a commit may break the wire on purpose, when a
# line of its message says so and why: `Wire-break: ...`.
step_proto_breaking() {
  if ! git rev-parse --verify -q HEAD >/dev/null 2>&1; then
    echo "no history here, so nothing to compare with"
    return 0
  fi
  base=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || :)
  if [ -z "$base" ]; then
    base=HEAD
    if git diff --quiet HEAD -- proto/weft; then
      base=HEAD~1
      if git log -1 --format=%B | grep -q '^Wire-break: .'; then
        git log -1 --format=%B | grep '^Wire-break: '
        return 0
      fi
    fi
  fi
  mkdir "$work/before"
  # A commit without proto/ or, in a shallow clone, without a parent: there is no version before this one.
  git archive "$base" buf.yaml proto 2>/dev/null | tar -x -C "$work/before" 2>/dev/null
  if [ ! -d "$work/before/proto/weft" ]; then
    echo "no version before this one"
    return 0
  fi
  buf breaking --against "$work/before" || {
    echo "(compared with $base)"
    return 1
  }
}

# Runs one step, keeps what it says, and prints its name, time and, if it failed, what it said.
run() {
  began=$(date +%s%N)
  verdict=ok
  "step_$1" >"$work/$1.out" 2>&1 </dev/null || verdict=FAILED
  tenths=$((($(date +%s%N) - began) / 100000000))
  printf '%-18s%-8s%3d.%d s\n' "$1" "$verdict" $((tenths / 10)) $((tenths % 10)) >"$work/$1.line"
  if [ "$verdict" = ok ]; then
    cat "$work/$1.line"
  else
    : >"$work/failed.$1"
    # In one piece, so that the lanes do not mix.
    sed 's/^/    /' "$work/$1.out" | cat "$work/$1.line" - >"$work/$1.report"
    cat "$work/$1.report"
  fi
}

lane() {
  for step in "$@"; do
    case " $wanted " in *" $step "*) run "$step" ;; esac
  done
}

ALL="types lint format architecture dead_code proto_lint proto_generated proto_breaking"
wanted="${*:-$ALL}"
for step in $wanted; do
  case " $ALL " in
    *" $step "*) ;;
    *)
      echo "check: no step is called $step; there are: $ALL" >&2
      exit 2
      ;;
  esac
done

lane lint &
lane types format architecture dead_code proto_lint proto_generated proto_breaking
wait

failed=$(cd "$work" && for file in failed.*; do [ -e "$file" ] && printf '%s ' "${file#failed.}"; done)
[ -z "$failed" ] || {
  echo "check: failed: $failed"
  exit 1
}
echo "check: all passed"
