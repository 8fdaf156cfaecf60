//! `docs/security.md` names a test for each of its promises, and the tests are there.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/security.md");

/// Everything that could hold a test.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let is_source = entry.extension().is_some_and(|extension| extension == "rs" || extension == "mjs");
        if entry.is_dir() && !entry.ends_with("node_modules") {
            sources(&entry, text);
        } else if is_source {
            text.push_str(&fs::read_to_string(entry).unwrap());
        }
    }
}

/// The last cell of each row of the tables whose last column is `shown by`.
fn proofs() -> Vec<&'static str> {
    let tables = PAGE.split("| shown by |\n").skip(1);
    let rows = tables.flat_map(|table| table.lines().skip(1).take_while(|line| line.starts_with('|')));
    rows.map(|row| row.trim_end_matches('|').rsplit('|').next().unwrap().trim()).collect()
}

/// `name` of a Rust test, "title" of a JavaScript test.
fn names(cell: &str) -> Vec<String> {
    let rust = cell.split('`').skip(1).step_by(2).map(|name| format!("fn {name}("));
    let javascript = cell.split('"').skip(1).step_by(2).map(|title| format!("test('{title}'"));
    rust.chain(javascript).collect()
}

#[test]
fn every_promise_of_the_page_names_a_test_that_exists() {
    let mut code = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let proofs = proofs();
    assert!(proofs.len() >= 35, "{} rows", proofs.len());
    for cell in proofs {
        let names = names(cell);
        assert!(!names.is_empty(), "no test in: {cell}");
        for name in names {
            assert!(code.contains(&name), "no such test: {name}");
        }
    }
}
