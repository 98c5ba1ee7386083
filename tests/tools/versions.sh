#!/usr/bin/env bash
# `make test-all`: the tests of the four apps on each Python 3.11 to 3.14 of this machine, with the Django of the locks
# and with the newest that pyproject.toml allows. Ends with a table; exits with 1 if one failed.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/build/versions
mkdir -p "$build"
table=""
failed=0

row() { table+=$(printf '%-8s %-8s %s' "$1" "$2" "$3")$'\n'; }

install() { # $1: the Python, $2: locked or newest, $3: where
  "python$1" -m venv "$3" && "$3/bin/pip" install -q --no-deps --require-hashes -r requirements/dev.txt || return 1
  [ "$2" = locked ] && return
  "$3/bin/pip" install -q --no-deps --upgrade "$(grep -o 'Django>=[^"]*' pyproject.toml)" && "$3/bin/pip" check
}

for python in 3.11 3.12 3.13 3.14; do
  if ! "python$python" -c '' 2>/dev/null; then
    row $python - "not on this machine"
    continue
  fi
  for django in locked newest; do
    [ $python-$django = 3.11-newest ] && row $python 6 "needs Python 3.12" && continue
    venv="$build/$python-$django"
    if install $python $django "$venv"; then
      version=$("$venv/bin/python" -m django --version)
      echo "== Python $python, Django $version"
      "$venv/bin/python" -m pytest -q -n 2 --dist loadgroup tests/core tests/verification tests/worker tests/signup "$@" |
        tee "$venv.log" || failed=1
      row $python "$version" "$(tail -n 1 "$venv.log")"
    else
      row $python $django "could not be installed"
      failed=1
    fi
  done
done
printf '\n%-8s %-8s %s\n%s' Python Django tests "$table"
exit $failed
