#!/usr/bin/env bash
# Installs the programs that the tests use (when it may), builds in Release, and runs every test.
# Usage: ./test.sh [--nothing-skipped] [NAME ...]     NAME picks test projects: ./test.sh Log Broker
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
nothing_skipped=false
names=()
for argument in "$@"; do
  case "$argument" in
    --nothing-skipped) nothing_skipped=true ;;
    -*) echo "Unknown option $argument. Usage: ./test.sh [--nothing-skipped] [NAME ...]" >&2; exit 2 ;;
    *) names+=("$argument") ;;
  esac
done

# Program (or library, or module of Python) that a test uses, and the Debian package that brings it.
needs=(
  "kcat kcat"
  "strace strace"
  "curl curl"
  "libzstd.so.1 libzstd1"
  "liblz4.so.1 liblz4-1"
  "librdkafka.so.1 librdkafka1"
  "node nodejs"
  "npm npm"
  "kafka.py python3-kafka"
)

is_there() {
  case "$1" in
    *.so.*) /sbin/ldconfig -p 2>/dev/null | grep -F "$1" >/dev/null ;;
    *.py) /usr/bin/python3 -c "import ${1%.py}" 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing_packages() {
  local need
  for need in "${needs[@]}"; do
    is_there "${need% *}" || echo "${need#* }"
  done
}

install_missing() {
  local -a packages as_root=()
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo -n); else as_root=(false); fi
  fi
  if command -v apt-get >/dev/null && [ "${as_root[0]:-}" != false ]; then
    echo "Installing ${packages[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${packages[@]}" </dev/null >/dev/null 2>&1 \
      || { "${as_root[@]}" apt-get update -qq </dev/null >/dev/null 2>&1 || true
           "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${packages[@]}" </dev/null >/dev/null 2>&1 || true; }
  fi
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" -eq 0 ] \
    || echo "Absent: ${packages[*]}. Tests that use them are skipped; install them with: apt-get install ${packages[*]}"
}

# Kafka clients for Node.js, by their lock file, when it has changed since they were installed.
install_node_clients() {
  local folder=tests/Millrace.Interop.Tests/Node
  command -v npm >/dev/null || return 0
  [ "$folder/package-lock.json" -nt "$folder/node_modules/.package-lock.json" ] || return 0
  echo "Installing the clients of $folder"
  npm ci --prefix "$folder" --no-audit --no-fund --loglevel error </dev/null >/dev/null 2>&1 \
    || echo "Absent: Kafka clients for Node.js. Tests that use them are skipped; install them with: npm ci --prefix $folder"
}

# Prints one attribute of the <assembly> element of an xunit report, or 0.
attribute() {
  local value
  value=$(grep -o '<assembly [^>]*' "$2" | head -n 1 | grep -oE "[ ]$1=\"[0-9]+\"" | grep -oE '[0-9]+' || true)
  echo "${value:-0}"
}

install_missing
install_node_clients

echo "Building in Release"
if ! dotnet build Millrace.slnx -c Release -v quiet -clp:NoSummary </dev/null; then
  echo "The build failed; no test ran."
  echo "0 passed, 1 failed"
  exit 1
fi

results=artifacts/test-results
rm -rf "$results"
mkdir -p "$results"
passed=0 failed=0 skipped=0
started=$SECONDS

for project in tests/*/*.csproj; do
  name=$(basename "$project" .csproj)
  if [ "${#names[@]}" -gt 0 ]; then
    wanted=false
    for pick in "${names[@]}"; do [[ "$name" == *"$pick"* ]] && wanted=true; done
    "$wanted" || continue
  fi

  report="$results/$name.xml"
  output="$results/$name.txt"
  before=$SECONDS
  code=0
  dotnet "artifacts/bin/$name/release/$name.dll" --no-progress --no-ansi \
    --results-directory "$results" --report-xunit --report-xunit-filename "$name.xml" \
    </dev/null >"$output" 2>&1 || code=$?

  total_here=0 failed_here=0 skipped_here=0
  if [ -s "$report" ]; then
    total_here=$(attribute total "$report")
    failed_here=$(($(attribute failed "$report") + $(attribute errors "$report")))
    skipped_here=$(($(attribute skipped "$report") + $(attribute not-run "$report")))
  fi
  note=""
  if [ "$code" -ne 0 ] && [ "$failed_here" -eq 0 ]; then
    # The process ended badly (a crash, no report) though no test says so.
    failed_here=1 total_here=$((total_here + 1)) note=" (the process ended with exit code $code)"
  elif [ "$total_here" -eq 0 ]; then
    failed_here=1 total_here=1 note=" (no test ran)"
  fi
  passed_here=$((total_here - failed_here - skipped_here))
  passed=$((passed + passed_here)) failed=$((failed + failed_here)) skipped=$((skipped + skipped_here))
  printf '%-34s %5d passed %3d failed %3d skipped %5d s%s\n' \
    "$name" "$passed_here" "$failed_here" "$skipped_here" "$((SECONDS - before))" "$note"
  if [ "$failed_here" -gt 0 ]; then
    cat "$output"
  elif [ "$skipped_here" -gt 0 ]; then
    grep -E '^ *(skipped|SKIP)' -A 1 "$output" || true
  fi
done

echo "Tests took $((SECONDS - started)) s."
if [ "$((passed + failed))" -eq 0 ]; then
  echo "No test ran."
  failed=1
fi
if "$nothing_skipped" && [ "$skipped" -gt 0 ]; then
  echo "Nothing may be skipped here, and $skipped tests were: they count as failed."
  failed=$((failed + skipped)) skipped=0
fi
if [ "$skipped" -gt 0 ]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
