# Sourced by `rec`: packages, native libraries, builds. Everything here is done once and remembered:
#   artifacts/setup/     in the checkout: what was restored and built, by a hash over the files that decide it
#   $cache/packages      of the user: NuGet packages made locally (build/packages/README.md)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/recbackend
packages=${RECBACKEND_PACKAGES:-$cache/packages}
unpacked=${NUGET_PACKAGES:-$HOME/.nuget/packages}
stamps=$root/artifacts/setup

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

# Worker processes of a build end with it; else they stay for minutes and keep hold of what they have loaded.
build_options=(-c Release --no-restore -nologo -v q -clp:NoSummary -nodeReuse:false)

say() { echo "rec: $*" >&2; }

die() {
  say "$*"
  exit 1
}

# step TEXT COMMAND...: runs the command, says what it was and how long it took; on failure shows the end of its output.
step() {
  local text=$1 start=$EPOCHREALTIME log
  shift
  log=$(mktemp)
  say "$text ..."
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    say "$text: failed"
    return 1
  fi
  rm -f "$log"
  say "$text: done in $(seconds_since "$start") s"
}

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# hash_of PATH...: one hash over names and contents of all files below the paths that exist, build outputs left out.
hash_of() {
  (cd "$root" && { find "$@" \( -name bin -o -name obj \) -prune -o -type f -print0 2>/dev/null || true; } | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
}

# What a restore depends on: the projects, the user's package sources, and the folder of the unpacked packages, whose path a restore writes down.
restore_hash() {
  (cd "$root" && { find src grains gateway bench tests -name '*.csproj' -print0 2>/dev/null; printf '%s\0' Directory.*.props RecBackend.sln *.slnf global.json; } |
    sort -z | xargs -0 sha256sum | cat - <(hash_of build/packages) <(cat "$HOME/.nuget/NuGet/NuGet.Config" 2>/dev/null) <(echo "$packages" "$unpacked") | sha256sum | cut -c1-16)
}

setup_verb() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --help | -h)
        cat <<'TEXT'
rec setup

Restores the solution's packages. Packages that the NuGet source lacks are made locally, in
${XDG_CACHE_HOME:-~/.cache}/recbackend/packages: ONNX Runtime from npm, System.IO.Hashing from the .NET SDK.
TEXT
        return
        ;;
      *) die "setup: unknown option '$1'; see rec setup --help" ;;
    esac
    shift
  done
  local start=$EPOCHREALTIME
  setup
  rm -f "$stamps/image-libraries-missing" # asked for by name: try again
  install_image_libraries
  say "set up, $(solution), in $(seconds_since "$start") s"
}

setup_quietly() { setup; }

# The solution to build: everything, or all but the Orleans projects where Orleans cannot be restored.
solution() { cat "$stamps/solution"; }

setup() {
  command -v dotnet >/dev/null || die "the .NET 10 SDK is missing: 'dotnet' is not on the PATH"
  mkdir -p "$cache" "$stamps"
  if [[ -f $stamps/restored && $(<"$stamps/restored") == "$(restore_hash)" ]] && restored_files_exist; then return; fi
  # Two checkouts of one user must not make the same package at the same time.
  exec 9>"$cache/setup.lock"
  flock 9
  restore
  exec 9>&-
  restore_hash >"$stamps/restored" # computed anew: the first restore of a user writes the list of package sources
}

restored_files_exist() {
  [[ -f $root/src/RecBackend.Cli/obj/project.assets.json && -f $stamps/solution && -d $unpacked ]]
}

restore() {
  local log missing
  log=$(mktemp)
  drop_outdated_packages
  if restore_solution RecBackend.sln "$log"; then
    echo RecBackend.sln >"$stamps/solution"
    rm -f "$log"
    return
  fi
  missing=$(missing_packages "$log")
  [[ -n $missing ]] || fail_with_log "$log" "restoring RecBackend.sln failed"
  say "the NuGet source lacks: $(echo $missing)"
  local package cluster=false
  for package in $missing; do
    case $package in
      Microsoft.ML.OnnxRuntime) make_onnxruntime ;;
      System.IO.Hashing) make_hashing ;;
      # Only the cluster engine needs what is neither made here nor known to be everywhere: Orleans, MessagePack, and what these bring along.
      *) cluster=true ;;
    esac
  done
  local target=RecBackend.sln
  if $cluster; then
    target=RecBackend.Embedded.slnf
    say "Microsoft.Orleans.* or MessagePack cannot be restored here: building and testing RecBackend.Embedded.slnf, all but the cluster engine."
  fi
  restore_solution $target "$log" || fail_with_log "$log" "restoring $target failed"
  echo $target >"$stamps/solution"
  rm -f "$log"
}

restore_solution() {
  local start=$EPOCHREALTIME
  say "restoring $1 ..."
  if ! dotnet restore "$root/$1" -nologo -v q >"$2" 2>&1; then return 1; fi
  say "restoring $1: done in $(seconds_since "$start") s"
}

# NU1101: no package of this id; NU1102 and NU1103: not this version.
missing_packages() {
  sed -nE 's/.*NU110[123]: Unable to find (a stable )?package ([A-Za-z0-9.]+).*/\2/p' "$1" | sed 's/\.$//' | sort -u
}

fail_with_log() {
  tail -n 30 "$1" >&2
  rm -f "$1"
  die "$2"
}

# A local package is remade when its recipe has changed. NuGet keeps an unpacked copy by id and version, so that goes too.
drop_outdated_packages() {
  [[ -d $packages ]] || return 0
  local recipe
  recipe=$(hash_of build/packages)
  [[ -f $packages/recipe && $(<"$packages/recipe") == "$recipe" ]] && return
  rm -f "$packages"/*.nupkg
  rm -rf "$unpacked/microsoft.ml.onnxruntime/1.29.0" "$unpacked/system.io.hashing/10.0.0"
}

make_hashing() { make_package System.IO.Hashing.10.0.0 hashing.csproj; }

make_onnxruntime() { make_package Microsoft.ML.OnnxRuntime.1.29.0 onnxruntime.csproj com.github.asus4.onnxruntime; }

# make_package ID.VERSION PROJECT [NPM_PACKAGE]
make_package() {
  local package=$1 project=$2 npm_package=${3-} work
  [[ -f $packages/$package.nupkg ]] && return
  work=$(mktemp -d "${TMPDIR:-/tmp}/recbackend-package.XXXXXX")
  mkdir -p "$work/out"
  if [[ -n $npm_package ]]; then
    command -v npm >/dev/null || die "making $package needs npm (Node.js)"
    step "fetching $npm_package 0.4.9 from npm" fetch_npm "$npm_package" "$work/npm" || die "could not fetch $npm_package"
  fi
  step "making the NuGet package $package" dotnet pack "$root/build/packages/$project" -c Release -nologo -v q \
    -p:Work="$work" -o "$work/out" || die "could not make $package"
  mkdir -p "$packages"
  mv "$work/out/$package.nupkg" "$packages/"
  hash_of build/packages >"$packages/recipe"
  rm -rf "$work"
}

# fetch_npm PACKAGE FOLDER: unpacks the package's sources and Linux libraries to FOLDER/onnxruntime.
fetch_npm() {
  local archive
  mkdir -p "$2/onnxruntime"
  archive=$(cd "$2" && npm pack --silent "$1@0.4.9")
  tar xzf "$2/$archive" -C "$2/onnxruntime" --strip-components=1 --wildcards 'package/Runtime/*' 'package/Plugins/Linux/*' 'package/LICENSE' 'package/ThirdPartyNotices*'
  rm "$2/$archive"
}

# JPEG and PNG images of items are decoded by libturbojpeg and libpng. Without them the server takes text and ready features.
install_image_libraries() {
  local libraries
  libraries=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true)
  [[ $libraries == *libturbojpeg.so.0* && $libraries == *libpng16.so.16* ]] && return
  # Once: where apt has failed it would fail again at every start, after a while.
  if can_apt && [[ ! -f $stamps/image-libraries-missing ]]; then
    step "installing libturbojpeg0 and libpng16-16" apt_install libturbojpeg0 libpng16-16 && return
    mkdir -p "$stamps"
    touch "$stamps/image-libraries-missing"
  fi
  say "libturbojpeg.so.0 or libpng16.so.16 is missing: images of items will be refused (on Debian: apt-get install libturbojpeg0 libpng16-16; rec setup tries again)"
}

# The cluster keeps its state in blobs and its membership in Redis; on one machine these are Azurite, from npm, and Debian's Redis.
cluster_servers() {
  if ! command -v redis-server >/dev/null && can_apt; then
    # The package starts a server of its own, which nobody asked for.
    step "installing redis-server" apt_install_quietly redis-server
  fi
  if ! command -v azurite-blob >/dev/null && [[ ! -x $cache/azurite/node_modules/.bin/azurite-blob ]] && command -v npm >/dev/null; then
    step "fetching Azurite from npm" npm install --silent --no-audit --no-fund --prefix "$cache/azurite" azurite@3.35.0
  fi
  command -v redis-server >/dev/null || { say "redis-server is missing (on Debian: apt-get install redis-server)"; return 1; }
  command -v azurite-blob >/dev/null || [[ -x $cache/azurite/node_modules/.bin/azurite-blob ]] || { say "azurite-blob is missing (npm install azurite)"; return 1; }
}

apt_install_quietly() { RUNLEVEL=1 apt_install "$@"; }

can_apt() { [[ $(id -u) == 0 && -f /etc/debian_version ]] && command -v apt-get >/dev/null; }

apt_install() {
  local install=(apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@")
  DEBIAN_FRONTEND=noninteractive "${install[@]}" || { apt-get -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive "${install[@]}"; }
}

# build_project FOLDER: a Release build, left out when no source has changed since the last one. Without the analyzers, which
# take a third of the time and say nothing to somebody who wants to run the program; the build of `rec test` has them.
build_project() {
  local stamp hash
  stamp=$stamps/built-$(basename "$1")
  hash=$(source_hash)
  [[ -f $stamp && $(<"$stamp") == "$hash" && -f $root/$1/bin/Release/net10.0/$(basename "$1").dll ]] && return
  step "building $1" dotnet build "$root/$1" "${build_options[@]}" -p:RunAnalyzers=false || die "the build failed"
  echo "$hash" >"$stamp"
}

# A Release build of everything that can be restored here, analyzers included.
build_solution() {
  step "building $(solution)" dotnet build "$root/$(solution)" "${build_options[@]}" || die "the build failed"
}

source_hash() { hash_of src grains gateway bench tests Directory.Build.props Directory.Packages.props .editorconfig global.json; }
