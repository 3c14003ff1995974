//! The layers of `src/`: imports go only downward, and what is pure or safe stays so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and its level.
const LEVELS: &[(&str, u8)] = &[
    ("base", 0),
    ("task", 0),
    ("identity", 1),
    ("ringing", 1),
    ("session", 1),
    ("media", 1),
    ("codec", 2),
    ("device", 2),
    ("processing", 2),
    ("transport", 2),
    ("testkit", 2),
    ("engine", 3),
    ("capi", 4),
    ("server", 4),
    ("bin", 5),
];

/// The server is linked without the engine: it stands on levels 0 and 1 alone.
const SERVER_MAY_USE: u8 = 1;

/// The only places for `unsafe`.
const UNSAFE_ALLOWED: &[&str] = &["src/capi/", "src/codec/vp8"];

#[test]
fn imports_go_only_downward() {
    let levels: BTreeMap<&str, u8> = LEVELS.iter().copied().collect();
    let mut faults = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        if module == "lib.rs" {
            continue;
        }
        let Some(level) = levels.get(module.as_str()) else {
            faults.push(format!("{}: module {module:?} has no level in tests/layering.rs", file.display()));
            continue;
        };
        for (number, used) in uses(&fs::read_to_string(&file).unwrap()) {
            let Some(used_level) = levels.get(used.as_str()) else { continue };
            let allowed =
                used == module || if module == "server" { *used_level <= SERVER_MAY_USE } else { used_level < level };
            if !allowed {
                faults.push(format!(
                    "{}:{number}: {module} (level {level}) uses {used} (level {used_level})",
                    file.display()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "imports that do not go downward:\n{}", faults.join("\n"));
}

#[test]
fn the_check_sees_an_upward_import() {
    assert_eq!(uses("use crate::engine::Event;"), [(1, "engine".to_string())]);
    assert_eq!(uses("fn f() { crate::server::x() }\n// crate::bin is a comment"), [(1, "server".to_string())]);
    assert_eq!(uses("use crate::{base::Error, server};"), [(1, "base".to_string()), (1, "server".to_string())]);
}

#[test]
fn unsafe_lives_only_where_the_c_side_is() {
    let faults: Vec<String> = sources()
        .into_iter()
        .filter(|file| !UNSAFE_ALLOWED.iter().any(|allowed| relative(file).starts_with(allowed)))
        .flat_map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<String> = code_lines(&text)
                .filter(|(_, line)| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe"))
                .map(|(number, _)| format!("{}:{number}", relative(&file)))
                .collect();
            lines
        })
        .collect();
    assert!(faults.is_empty(), "unsafe outside capi and the codec wrapper:\n{}", faults.join("\n"));
}

/// `(line, module)` for every path into the crate.
fn uses(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in code_lines(text) {
        for start in ["crate::", "trill::"] {
            for (at, _) in line.match_indices(start) {
                let rest = &line[at + start.len()..];
                match rest.strip_prefix('{') {
                    Some(group) => {
                        found.extend(top_level_names(group).into_iter().map(|name| (number, name)));
                    }
                    None => found.push((number, leading_name(rest))),
                }
            }
        }
    }
    found
}

/// The first segments in `base::Error, server::{a, b}}`.
fn top_level_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut fresh = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if depth == 0 && fresh && c.is_alphabetic() => {
                names.push(leading_name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn leading_name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
}

fn module_of(file: &Path) -> String {
    let relative = relative(file);
    let mut parts = relative.trim_start_matches("src/").split('/');
    parts.next().unwrap_or_default().to_string()
}

fn relative(file: &Path) -> String {
    file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy().into_owned()
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    files
}
