//! include/trill.h: written from src/capi by cbindgen, never by hand. `scripts/header` writes it; this test fails when it
//! has drifted.

use std::fmt::Write;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The groups, in the order of a call's life; each is a file of src/capi.
const GROUPS: &[&str] = &[
    "library",
    "status",
    "log",
    "engine",
    "event",
    "login",
    "call",
    "call_listener",
    "push",
    "device",
    "device_format",
    "session_settings",
    "session_callbacks",
    "session",
    "voice",
    "participant",
    "frame",
    "statistics",
    "call_log",
];

/// Files of src/capi without anything for C.
const INTERNAL: &[&str] = &["mod", "arena", "bench", "boundary", "handle"];

/// What heads the header: the overview.
const OVERVIEW: &str = include_str!("c_header/overview.h");

/// `TRILL_BLESS=1 cargo test --test c_header` writes the header anew.
#[test]
fn the_header_is_what_the_source_says() {
    let header = render();
    let path = Path::new(ROOT).join("include/trill.h");
    if std::env::var_os("TRILL_BLESS").is_some() {
        fs::write(&path, &header).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == header, "include/trill.h has drifted from src/capi; scripts/header writes it");
}

#[test]
fn every_file_of_the_c_interface_is_a_group_of_the_header() {
    for entry in fs::read_dir(Path::new(ROOT).join("src/capi")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(GROUPS.contains(&name.as_str()) ^ INTERNAL.contains(&name.as_str()), "{name} has no place");
    }
}

#[test]
fn every_public_function_and_constant_has_a_comment() {
    let header = render();
    let mut before = "";
    for line in header.lines() {
        let is_function = line.contains('(') && line.split_whitespace().any(|word| word.starts_with("trill_"));
        if is_function && !line.starts_with([' ', '*', '#', '/', 's']) && !line.starts_with("typedef") {
            assert!(before.trim_end().ends_with("*/"), "{line} has no comment");
        }
        before = line;
    }
}

fn render() -> String {
    let mut declared = Vec::new();
    let mut body = String::new();
    for group in GROUPS {
        let source = Path::new(ROOT).join("src/capi").join(format!("{group}.rs"));
        writeln!(body, "{}", banner(&fs::read_to_string(&source).unwrap())).unwrap();
        body += &with_general_statuses(&tidy(&generate(&source), &mut declared));
    }
    let forward: String = declared.iter().map(|name| format!("typedef struct {name} {name};\n")).collect();
    let inits: String = inits(&body).concat();
    format!(
        "{OVERVIEW}\n#ifndef TRILL_H\n#define TRILL_H\n\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{forward}\n{}\n{inits}\n#ifdef __cplusplus\n}}\n#endif\n\n\
         #endif /* TRILL_H */\n",
        body.trim_end(),
    )
}

fn generate(source: &Path) -> String {
    let text = fs::read_to_string(source).unwrap();
    // Also what only other groups use.
    let types = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub type "))?;
        Some(rest.split([' ', '{']).next()?.to_owned())
    });
    let config = cbindgen::Config {
        export: cbindgen::ExportConfig { include: types.collect(), ..cbindgen::ExportConfig::default() },
        language: cbindgen::Language::C,
        no_includes: true,
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        line_length: 110,
        tab_width: 4,
        ..cbindgen::Config::default()
    };
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

/// The first paragraphs of a file, as the heading of its group.
fn banner(source: &str) -> String {
    let lines: Vec<&str> =
        source.lines().take_while(|line| line.starts_with("//!")).map(|line| line[3..].trim_start()).collect();
    let title = lines[0].trim_end_matches('.');
    let mut text = format!("\n/* {:=<116} */\n/*\n * {title}\n", "");
    for line in &lines[1..] {
        writeln!(text, "{}", format!(" * {line}").trim_end()).unwrap();
    }
    text + " */\n"
}

/// All structs are declared at the top, so that groups can stand in the order of a call's life.
fn tidy(generated: &str, declared: &mut Vec<String>) -> String {
    let mut text = String::new();
    for line in one_line_comments(generated).lines() {
        if let Some(opaque) = line.strip_prefix("typedef struct trill_").and_then(|rest| rest.strip_suffix(';')) {
            let name = opaque.split(' ').next().unwrap();
            declared.push(format!("trill_{name}"));
            continue;
        }
        if let Some(name) = line.strip_prefix("typedef struct ").and_then(|rest| rest.strip_suffix(" {")) {
            declared.push(name.to_owned());
            writeln!(text, "struct {name} {{").unwrap();
        } else if line.starts_with("} trill_") {
            text += "};\n";
        } else if let Some((define, number)) =
            line.split_once(" -").filter(|(define, _)| define.starts_with("#define "))
        {
            writeln!(text, "{define} (-{number})").unwrap();
        } else {
            writeln!(text, "{}", line.replace("struct trill_", "trill_")).unwrap();
        }
    }
    text
}

/// Completes the comment of each function that returns a status: what any function with such parameters can return, and the
/// thread where nothing else is said of it.
fn with_general_statuses(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<String> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("int32_t trill_") {
            let declaration = lines[at..].join(" ");
            let start = out.iter().rposition(|line| line.starts_with("/**")).expect("a comment");
            let comment = out.split_off(start);
            out.extend(completed(comment, declaration.split(");").next().unwrap()));
        }
        out.push((*line).to_owned());
    }
    out.join("\n") + "\n"
}

fn completed(mut comment: Vec<String>, declaration: &str) -> Vec<String> {
    if let [line] = comment.as_slice() {
        let said = line.trim_start_matches("/**").trim_end_matches("*/").trim();
        comment = vec!["/**".into(), format!(" * {said}"), " */".into()];
    }
    let said = comment.join("\n");
    let own = said.split_once("\n * Status:").map(|(_, own)| own);
    let takes = |kinds: &[&str]| kinds.iter().any(|kind| declaration.contains(kind));
    let general = [
        ("TRILL_STATUS_INVALID_ARGUMENT", true),
        (
            "TRILL_STATUS_TOO_LARGE",
            takes(&["const char *", "const uint8_t *", "const int16_t *", "const float *", "const trill_"]),
        ),
        // All but the function that frees it.
        ("TRILL_STATUS_SHUT_DOWN", takes(&["trill_engine *engine,"])),
        ("TRILL_STATUS_INTERNAL", true),
    ];
    let missing = general.iter().filter(|(name, can)| *can && !own.is_some_and(|own| own.contains(name)));
    let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
    let end = comment.pop().expect("its last line");
    if own.is_none() {
        comment.push(" *".into());
    }
    comment.push(format!(" * {} {}.", if own.is_some() { "Also" } else { "Status:" }, missing.join(", ")));
    if !said.contains("thread") {
        comment.push(" * Any thread.".into());
    }
    comment.push(end);
    comment
}

/// A comment of one line takes one line.
fn one_line_comments(generated: &str) -> String {
    let lines: Vec<&str> = generated.lines().collect();
    let mut text = String::new();
    let mut at = 0;
    while at < lines.len() {
        if let [open, comment, close, ..] = lines[at..]
            && (open.trim(), close.trim()) == ("/**", "*/")
        {
            let indent = &open[..open.len() - 3];
            writeln!(text, "{indent}/** {} */", comment.trim().trim_start_matches('*').trim()).unwrap();
            at += 3;
        } else {
            writeln!(text, "{}", lines[at]).unwrap();
            at += 1;
        }
    }
    text
}

/// `TRILL_<T>_INIT` for each struct that begins with its size.
fn inits(body: &str) -> Vec<String> {
    let mut inits = Vec::new();
    let mut name = "";
    for line in body.lines() {
        if let Some(struct_name) = line.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {")) {
            name = struct_name;
        } else if line.trim() == "size_t struct_size;" {
            let macro_name = name.to_uppercase();
            inits.push(format!(
                "\n#define {macro_name}_INIT {name}_init()\n\n/** All defaults. */\nstatic inline {name} {name}_init(void)\n{{\n    \
                 {name} init;\n    memset(&init, 0, sizeof init);\n    init.struct_size = sizeof init;\n    return init;\n}}\n"
            ));
        }
    }
    inits
}
