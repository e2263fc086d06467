# run · test · check · bench · web · release: the same targets that CI calls.
# Downloads come from the ordinary package registries only; nothing from model hubs or CDNs.

# Tools and environments that the checks need live here, outside the clone, so that a fresh clone
# does not fetch them again. CARGO_TARGET_DIR, when set, is shared the same way.
MC_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/merchant-copilot
export MC_CACHE
TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO := cargo
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print 2>/dev/null)

.PHONY: run web test test-tools check fmt-check clippy doc deny web-check bench long-lists eval-shared embedder release clean

## run: build what is missing, then serve on http://127.0.0.1:8787
run: web
	$(CARGO) build --bin merchant-copilot
	$(TARGET)/debug/merchant-copilot serve

## web: the pages, built into web/dist and from there into the binary
web: web/dist/.built
web/dist/.built: $(WEB_SOURCES)
	cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build
	touch $@

## test: every test, after installing what they need
test: web test-tools
	cd web && npm run --silent test
	./scripts/with-postgres.sh $(CARGO) test --all-targets
	./tests/peers/run.sh $(TARGET)/debug/merchant-copilot

test-tools:
	./scripts/test-tools.sh

## check: format, lints, docs, dependencies, pages
check: fmt-check clippy doc deny web-check
fmt-check:
	$(CARGO) fmt --check
clippy: web
	$(CARGO) clippy --all-targets -- -D warnings
doc: web
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items
deny:
	./scripts/cargo-deny.sh check --hide-inclusion-graph licenses bans sources
web-check: web
	cd web && npm run --silent check && npm run --silent size

## bench: what the README's numbers were measured with (optimised build)
bench: web
	$(CARGO) bench --bench first_text
	$(CARGO) bench --bench knowledge
	$(CARGO) bench --bench streams

## long-lists: the console's table with ENTRIES (100,000) entries, timed; fails when a page takes a second
long-lists: release
	./scripts/long-lists.py $(TARGET)/release/merchant-copilot

## eval-shared: retrieval on labelled sets of other texts; SETS is the folder that has them
SETS ?= ../shared/data/eval
eval-shared: web
	$(CARGO) build --bin merchant-copilot
	./scripts/eval-shared.py $(TARGET)/debug/merchant-copilot $(SETS)

## embedder: the built-in model made anew by knowledge/embedder/recipe. DATA is the folder of train_pairs.jsonl.gz, DOCS
## (if any) that of documentation sections; pairs and model go to OUT
RECIPE := knowledge/embedder/recipe
RECIPE_ENV := $(MC_CACHE)/embedder
RECIPE_PYTHON := $(RECIPE_ENV)/bin/python
OUT ?= $(TARGET)/embedder
embedder: $(RECIPE_ENV)/.installed
	@test -f "$(DATA)/train_pairs.jsonl.gz" || { echo "usage: make embedder DATA=DIR [DOCS=DIR] [OUT=DIR]; DATA has train_pairs.jsonl.gz (knowledge/embedder/README.md)"; exit 2; }
	mkdir -p "$(OUT)"
	$(RECIPE_PYTHON) $(RECIPE)/pairs.py --pack knowledge/starter --recipe $(RECIPE) $(if $(DOCS),--docs "$(DOCS)") --out "$(OUT)/merchant_pairs.jsonl.gz"
	OMP_NUM_THREADS=1 $(RECIPE_PYTHON) $(RECIPE)/train.py --pairs "$(DATA)/train_pairs.jsonl.gz:2" --pairs "$(OUT)/merchant_pairs.jsonl.gz:1" \
		--tokenizer knowledge/embedder/tokenizer.json --dropout 0.1 --epochs 5 --seed 0 --out "$(OUT)/model.onnx"
$(RECIPE_ENV)/.installed: $(RECIPE)/requirements.txt
	python3 -m venv $(RECIPE_ENV)
	$(RECIPE_ENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

## release: one stripped binary in dist/
release: web
	$(CARGO) build --release --bin merchant-copilot
	mkdir -p dist && cp $(TARGET)/release/merchant-copilot dist/
	ls -l dist/merchant-copilot

clean:
	rm -rf web/dist dist
