# Sourced by `rec`: every test of both languages, one count.

test_verb() {
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    cat <<'TEXT'
rec test [NAME...]

Builds the solution, runs every test project and the tests of training/, prints what failed, and last
`N passed, N failed, N skipped`. NAME, part of a test project's name or `training`, runs only those.
TEXT
    return
  fi
  setup
  install_image_libraries
  build_solution
  local results=$root/artifacts/test-results project name wanted
  rm -rf "$results"
  mkdir -p "$results"
  for project in "$root"/tests/*.Tests/*.csproj; do
    name=$(basename "$project" .csproj)
    wanted_test "$name" "$@" || continue
    run_dotnet_tests "$name" "$(dirname "$project")/bin/Release/net10.0/$name.dll"
  done
  if [[ -d $root/training/tests ]] && wanted_test training "$@"; then run_python_tests; fi
  local reader
  reader=$(find_python json) || die "Python 3 is missing"
  "$reader" "$root/build/test_summary.py" "$results"
}

# wanted_test NAME FILTER...
wanted_test() {
  local name=$1 filter
  shift
  [[ $# -eq 0 ]] && return
  for filter in "$@"; do [[ $name == *"$filter"* ]] && return; done
  return 1
}

# The summary counts from the result files; a runner that ends badly, or writes none, leaves a `.broken` file that counts as a failure.
run_dotnet_tests() {
  local name=$1 assembly=$2
  # A restore that failed leaves its traces also in projects that are then left out, so the solution is asked.
  if [[ $(solution) == *.slnf ]] && ! grep -q "$name.csproj" "$root/$(solution)"; then
    echo "not part of $(solution), which is what can be restored here" >"$results/$name.left_out"
    return
  fi
  if [[ ! -f $root/tests/$name/obj/project.assets.json ]]; then
    echo "$name is not part of $(solution): add it with dotnet sln add tests/$name" >"$results/$name.broken"
    return
  fi
  # One of these starts a cluster, and is skipped where it cannot.
  if [[ $name == RecBackend.Cli.Tests && $(solution) == RecBackend.sln ]]; then cluster_servers || true; fi
  if [[ $name == RecBackend.Cluster.Tests ]] && ! cluster_servers; then
    echo "Redis or Azurite is missing" >"$results/$name.left_out"
    return
  fi
  say "testing $name ..."
  dotnet test "$assembly" --results-directory "$results" --logger "trx;LogFileName=$name.trx" --logger "console;verbosity=quiet" \
    --blame-hang-timeout 10m --blame-hang-dump-type none >"$results/$name.log" 2>&1 || echo "exit code $?" >"$results/$name.status"
  if [[ ! -f $results/$name.trx ]]; then tail -n 20 "$results/$name.log" >"$results/$name.broken"; fi
}

run_python_tests() {
  need_python torch onnx numpy PIL pytest
  say "testing training ..."
  (cd "$root/training" && PYTHONPATH=. "$python" -m pytest tests -q -p no:cacheprovider --junitxml "$results/training.xml") >"$results/training.log" 2>&1 ||
    echo "exit code $?" >"$results/training.status"
  if [[ ! -f $results/training.xml ]]; then tail -n 20 "$results/training.log" >"$results/training.broken"; fi
}
