# Sourced by `rec`: the Python side. Its packages are heavy, so only a verb that needs them gets them.

# find_python MODULE...: the first interpreter that can import all modules.
find_python() {
  local candidate modules
  modules=$(IFS=,; echo "$*")
  for candidate in "${RECBACKEND_PYTHON:-}" "$cache/venv/bin/python" /usr/bin/python3 "$(command -v python3 || true)"; do
    [[ -n $candidate && -x $candidate ]] || continue
    # find_spec, since importing torch alone takes seconds.
    if "$candidate" -c "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(m) is None for m in '$modules'.split(',')))" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# need_python MODULE...: sets `python`, installing what is missing: from Debian when root there, else into a virtual environment.
need_python() {
  python=$(find_python "$@") && return
  if can_apt; then
    local packages_of_debian=(libopenblas0-pthread) module
    for module in "$@"; do packages_of_debian+=("python3-${module/PIL/pil}"); done
    step "installing ${packages_of_debian[*]}" apt_install "${packages_of_debian[@]}" || die "could not install the Python packages"
  else
    command -v python3 >/dev/null || die "Python 3 is missing"
    [[ -x $cache/venv/bin/python ]] || step "making a virtual environment in $cache/venv" python3 -m venv "$cache/venv" || die "could not make a virtual environment (python3-venv?)"
    step "installing ${*/PIL/pillow} with pip" "$cache/venv/bin/python" -m pip install --quiet "${@/PIL/pillow}" || die "could not install the Python packages"
  fi
  python=$(find_python "$@") || die "Python packages are installed, yet no interpreter finds all of: $*"
}

train_verb() {
  if [[ $# -eq 0 || $1 == --help || $1 == -h ]]; then
    cat <<'TEXT'
rec train RECIPE --data DIR --out BUNDLE [OPTIONS]
rec train --resume BUNDLE --data DIR --out NEW [OPTIONS]

Trains a model on a data set in the neutral form (docs: training/README.md) and exports its bundle,
or goes on from a bundle with the events that came since.
Recipes: id (DIN and DCNv2 over IDs, features and history), ppm (plus pre-trained content),
  srp4ctr (plus a pre-trained sequence), mim (plus content tuned on behaviour),
  ctrl (id, aligned with text before), unified (several of these as towers of one model, above mim's content).
`rec train RECIPE --help` lists the options of a recipe.
TEXT
    return
  fi
  need_python torch onnx numpy PIL
  PYTHONPATH="$root/training${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m recbackend train "$@"
}

# `rec bench quality`: what training needs, and what draws the plots. Who asks for help gets it from any Python.
quality_verb() {
  if asks_for_help "$@"; then need_python numpy; else need_python torch onnx numpy PIL matplotlib; fi
  PYTHONPATH="$root/training${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m recbackend.quality "$@"
}

# `rec bench shape`: a bundle to measure, of random weights.
shape_verb() {
  need_python torch onnx numpy
  PYTHONPATH="$root/training${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m recbackend.shapes "$@"
}
