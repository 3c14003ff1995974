//! Every name in the table of docs/calling-guide.md exists.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::Command;
use std::{fs, str};

const PAGE: &str = include_str!("../docs/calling-guide.md");
const HEADER: &str = include_str!("../include/trill.h");

/// The cells of one column: 1 is C, 2 Rust, 3 the command.
fn column(at: usize) -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| row.split('|').nth(at + 1).unwrap_or_else(|| panic!("a row too short: {row}"))).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether `name` is in `text`, and not as a part of a longer one.
fn has_word(text: &str, name: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name)
        .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + name.len()..].chars().next()))
}

/// From `start` to the first line that is `end`.
fn block<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = &text[text.find(start)?..];
    Some(&from[..from.find(end)?])
}

#[test]
fn what_it_says_of_c_is_in_the_header() {
    let names: Vec<&str> = column(1).into_iter().flat_map(names).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        let found = match name.split_once('.') {
            Some((of, field)) => {
                block(HEADER, &format!("struct {of} {{"), "\n};").is_some_and(|fields| has_word(fields, field))
            }
            None => has_word(HEADER, name),
        };
        assert!(found, "{name} is not in include/trill.h");
    }
}

#[test]
fn what_it_says_of_rust_is_public() {
    let sources = sources();
    let names: Vec<&str> = column(2).into_iter().flat_map(names).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let (of, member) = name.split_once("::").or_else(|| name.split_once('.')).unwrap_or((name, ""));
        let has = |text: &String| {
            let of_type = [format!("pub struct {of} {{"), format!("pub enum {of} {{"), format!("    {of} {{\n")];
            let types =
                of_type.iter().filter_map(|start| block(text, start, "\n}").or_else(|| block(text, start, "\n    }")));
            let mut listed = types.peekable();
            let function = [format!("pub fn {member}("), format!("pub async fn {member}(")];
            let method = text.contains(&format!("impl {of} {{")) && function.iter().any(|start| text.contains(start));
            method || listed.any(|fields| member.is_empty() || has_word(fields, member))
        };
        assert!(sources.iter().any(has), "{name} is not in src/");
    }
}

#[test]
fn what_it_says_of_the_command_is_in_its_help() {
    let names: Vec<&str> = column(3).into_iter().flat_map(names).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let (options, path): (Vec<&str>, Vec<&str>) = name.split(' ').skip(1).partition(|word| word.starts_with("--"));
        let help = Command::new(env!("CARGO_BIN_EXE_trill")).args(path).arg("--help").output().unwrap();
        assert!(help.status.success(), "{name}: {help:?}");
        let help = str::from_utf8(&help.stdout).unwrap();
        for option in options {
            assert!(has_word(help, option), "{option} of {name:?} is not in:\n{help}");
        }
    }
}

/// The text of all of `src/`.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => found.push(fs::read_to_string(path).unwrap()),
                _ => {}
            }
        }
    }
    found
}
