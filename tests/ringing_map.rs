//! Every test that docs/ringing-rules.md and docs/bad-input.md name is there.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../docs/ringing-rules.md");
const BAD_MEDIA: &str = include_str!("../docs/bad-input.md");

#[test]
fn each_rule_of_ringing_names_a_test_that_exists() {
    let mut rows = 0;
    for row in PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, rule, tests, _] = cells[..] else { panic!("not two cells: {row}") };
        if tests == "shown by" {
            continue;
        }
        rows += 1;
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {rule}");
        for name in names {
            assert!(exists(name), "{name}, which is to show {rule:?}, is no test");
        }
    }
    assert!(rows > 80, "{rows} rows");
}

#[test]
fn each_kind_of_bad_media_names_a_test_that_exists() {
    let mut rows = 0;
    for row in BAD_MEDIA.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, what, _, tests, _] = cells[..] else { panic!("not three cells: {row}") };
        if tests == "shown by" {
            continue;
        }
        rows += 1;
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {what}");
        for name in names {
            assert!(exists(name), "{name}, which is to show {what:?}, is no test");
        }
    }
    assert!(rows >= 15, "{rows} rows");
}

/// `folder::file::test`, of `tests/` or of `src/`.
fn exists(name: &str) -> bool {
    let (module, test) = name.rsplit_once("::").unwrap_or_else(|| panic!("{name} names no file"));
    let module = module.replace("::", "/");
    let places = [format!("tests/{module}"), format!("src/{module}")];
    let files = places.iter().flat_map(|at| [format!("{at}.rs"), format!("{at}/main.rs"), format!("{at}/mod.rs")]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    files.filter_map(|file| fs::read_to_string(root.join(file)).ok()).any(|text| has_test(&text, test))
}

/// Whether a function of that name stands below `#[test]` or its like.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let starts = [format!("fn {name}("), format!("async fn {name}(")];
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        starts.iter().any(|start| line.starts_with(start))
            && attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}
