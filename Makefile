.PHONY: web web-test browser-test

web: ## builds the page into web/dist
	npm ci --prefix web --no-audit --no-fund
	npm run --prefix web build

web-test: ## types, lint and unit tests of the page and its client library
	npm ci --prefix web --no-audit --no-fund
	npm run --prefix web check
	npm test --prefix web

browser-test: web ## two and three Chromiums against a debug build of the server: tests/browser
	cargo build --locked
	npm ci --prefix tests/clients --no-audit --no-fund
	npm ci --prefix tests/browser --no-audit --no-fund
	npm test --prefix tests/browser
