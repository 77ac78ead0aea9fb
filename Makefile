# Two commands: make study, make test. Both set up .venv first, with the locked environment.
PARAMS ?=
CORES ?= all
PORT ?= 8000
PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3,$(shell $(p) -c \
	'import ensurepip, sys, venv; sys.version_info[:2] in ((3, 11), (3, 12)) or sys.exit(1); print("$(p)")' 2>/dev/null)))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
ifneq ($(PARAMS),)
export PARAMS
else
unexport PARAMS
endif

SOUNDFONT := data/soundfonts/MuseScore_General_Full.sf3

.DEFAULT_GOAL := help
.PHONY: help demo study check speech soundfonts estimate settings test test-all lint browse compare benchmarks dvc adopt slurm s3 moto docs lock clean clean-results

help:
	@echo "usage: make TARGET [PARAMS=presets/smoke.yaml] [CORES=2]"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.venv/.installed: requirements.lock
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11 or 3.12 with venv; name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test ! -L .venv || { echo "error: .venv is a symbolic link, and what it leads to would be emptied: remove the link, or activate that environment and call snakemake or pytest yourself" >&2; exit 1; }
	@test ! -e .venv || test -e $@ || test -e .venv/.making || { echo "error: .venv was not made here: remove it, or activate it and call snakemake or pytest yourself" >&2; exit 1; }
	@echo "setting up .venv (once, some minutes)"
	$(PYTHON) -m venv --clear .venv && touch .venv/.making
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	ln -sf ../../tools/shuffle-to-learn .venv/bin/
	@touch $@ && rm .venv/.making

study: .venv/.installed  ## run the study under Snakemake
	@python -m tools.unlock
	snakemake --cores $(CORES)

demo: .venv/.installed  ## a minute: a network learns to order spectrograms; opens the page
	@PARAMS=presets/demo.yaml python -m tools.unlock
	PARAMS=presets/demo.yaml snakemake --cores $(CORES)
	@python -c 'import pathlib, webbrowser; page = pathlib.Path("results/demo/index.html").resolve(); print(page); webbrowser.open(page.as_uri())'

check: .venv/.installed  ## look at PARAMS and its data, before anything is run
	@python -m tools.check

speech: .venv/.installed  ## fetch the recorded speech of presets/speech.yaml, syllables.yaml
	python -m tools.speech

estimate: .venv/.installed  ## measure how long PARAMS would take here, and how much disk
	python -m tools.estimate

soundfonts: $(SOUNDFONT)  ## fetch the instruments of presets/instruments.yaml (76 MB, MIT)

$(SOUNDFONT):
	@command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "error: no apt-get and dpkg-deb here: get $(@F) (MIT; Debian's package musescore-general-soundfont has it) and put it into $(@D)" >&2; exit 1; }
	rm -rf $(@D)/unpacked && mkdir -p $(@D)/unpacked
	cd $(@D)/unpacked && apt-get download musescore-general-soundfont && dpkg-deb -x *.deb .
	cp $(@D)/unpacked/usr/share/doc/musescore-general-soundfont/copyright $(@D)/
	mv $(@D)/unpacked/usr/share/sounds/sf3/$(@F) $@ && rm -r $(@D)/unpacked

settings: .venv/.installed  ## print every setting of PARAMS
	@python -m tools.settings

dvc: .venv/.installed  ## run the study under DVC
	@python -m tools.unlock dvc
	@file=$$(python -m tools.dvc_yaml) && dvc repro "$$file" && python -m tools.browse --where

test: .venv/.installed  ## run the tests, but for the long ones
	python -m pytest -n 2 --dist loadscope -rs -m "not long" $(PYTEST)

test-all: .venv/.installed  ## run the long tests: both runners, a browser, Slurm, S3
	python -m pytest -n 2 --dist loadscope -rs -m long $(PYTEST)

lint: .venv/.installed  ## check style and types
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy

browse: .venv/.installed  ## serve the results of PARAMS on a local port (PORT=8000)
	python -m tools.browse --port $(PORT)

compare: .venv/.installed  ## set two studies side by side (A=results/smoke B=results)
	python -m tools.compare $(A) $(B)

benchmarks: .venv/.installed  ## make benchmarks' tables anew, 90 min (LIMIT=AVX2 limits the CPU)
	$(and $(LIMIT),ONEDNN_MAX_CPU_ISA=$(LIMIT) OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES=X86_V4 MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2) \
	sh -ec 'for name in training probes extraction startup ranking step_cost decoding motions_leak scale; do python -m benchmarks.$$name; done'

adopt: .venv/.installed  ## let the other runner take over what one has made, after a check
	python -m tools.adopt

docs: .venv/.installed  ## make the site of the operators, build/docs/index.html; a broken link fails
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r workflow/envs/$@.txt
	TF_CPP_MIN_LOG_LEVEL=3 python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs/site docs build/docs

slurm s3 moto: .venv/.installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r workflow/envs/$@.txt
slurm:  ## add what runs the study on a Slurm cluster (docs/slurm.md)
s3:  ## add what takes DVC to S3
moto:

lock: .venv/.installed  ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra study --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --overrides workflow/envs/overrides.txt -o requirements.lock
	for extra in slurm s3 moto docs; do uv pip compile workflow/envs/$$extra.in --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements.lock \
		$$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) -o workflow/envs/$$extra.txt || exit 1; done

clean:  ## remove .venv and the caches of tests; data and results stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

clean-results: .venv/.installed  ## remove what PARAMS made: features, networks, results
	@python -m tools.unlock
	@echo "removing what $(or $(PARAMS),params.yaml) made: features, networks, scores, pages (datasets and logs stay)"
	snakemake --cores 1 --delete-all-output --quiet host
