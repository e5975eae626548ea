//! Rules for any file: blanks, names, and what only one machine or one registry knows.

use super::{Finding, Source};

pub const RULES: &[fn(&Source) -> Vec<Finding>] =
    &[blanks, final_newline, vague_names, local_paths, registries];

fn blanks(source: &Source) -> Vec<Finding> {
    if source.is_generated() {
        return Vec::new();
    }
    lines(source)
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(number, _)| {
            source.finding(number, "blanks at the end of the line make noise in diffs; remove them")
        })
        .collect()
}

fn final_newline(source: &Source) -> Vec<Finding> {
    if source.is_generated() || source.text.is_empty() || source.text.ends_with('\n') {
        return Vec::new();
    }
    let message = "no newline at the end: the next line added would change this one too; add one";
    vec![source.finding(source.text.lines().count(), message)]
}

fn vague_names(source: &Source) -> Vec<Finding> {
    const VAGUE: [&str; 9] =
        ["helpers", "utils", "common", "core", "types", "models", "manager", "shared", "misc"];
    if !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let parts = source.path.trim_end_matches(".rs").split('/');
    parts
        .filter(|part| VAGUE.contains(part))
        .map(|part| {
            let message = format!(
                "`{part}` says nothing about what is inside, so everything ends up there; name \
                 it after the noun it holds"
            );
            source.finding(1, message)
        })
        .collect()
}

fn local_paths(source: &Source) -> Vec<Finding> {
    // Put together here, so that this file keeps the rule as well.
    const LOCAL: [&str; 3] = [concat!("/wor", "k/"), concat!("/roo", "t/"), concat!("/far", "m/")];
    let is_absolute = |line: &str, local: &str| {
        line.match_indices(local).any(|(at, _)| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "-_.~})]*$".contains(c))
        })
    };
    lines(source)
        .filter(|(_, line)| LOCAL.iter().any(|local| is_absolute(line, local)))
        .map(|(number, _)| {
            let message = "a path of one machine is wrong on every other; make it relative, or \
                           take it from a variable such as $HOME";
            source.finding(number, message)
        })
        .collect()
}

fn registries(source: &Source) -> Vec<Finding> {
    const HOSTS: [&str; 5] = [
        concat!("crates", ".io"),
        concat!("npm", "js"),
        concat!("pypi", ".org"),
        concat!("maven", ".org"),
        concat!("debian", ".org"),
    ];
    if ["Cargo.lock", "package-lock.json"].contains(&source.name()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in lines(source) {
        for host in HOSTS.iter().filter(|host| line.contains(**host)) {
            let message = format!(
                "`{host}` is a registry, and behind a mirror it is another one; let cargo, npm, \
                 pip, mvn or apt use the one they are configured with"
            );
            found.push(source.finding(number, message));
        }
    }
    found
}

fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    // Not `str::lines`, which would hide a carriage return.
    source.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    #[test]
    fn blanks_fail() {
        assert!(said(blanks, "a.md", "a \nb").starts_with("a.md:1: blanks"));
        assert!(said(blanks, "a.md", "a\r\n").contains("blanks"));
        assert_eq!(said(blanks, "a.svg", "a \n"), "");
        assert_eq!(said(blanks, "a.md", "a\n"), "");
    }

    #[test]
    fn a_missing_final_newline_fails() {
        assert!(said(final_newline, "a.md", "a\nb").starts_with("a.md:2: no newline"));
        assert_eq!(said(final_newline, "a.md", "a\n"), "");
    }

    #[test]
    fn vague_names_fail() {
        assert!(said(vague_names, "crates/http/src/utils.rs", "").contains("`utils`"));
        assert!(said(vague_names, "crates/http/tests/common/mod.rs", "").contains("`common`"));
        assert_eq!(said(vague_names, "crates/http/src/router.rs", ""), "");
    }

    #[test]
    fn local_paths_fail() {
        let home = concat!("/roo", "t/");
        assert!(said(local_paths, "a.sh", &format!("cd {home}x")).contains("one machine"));
        assert!(said(local_paths, "a.sh", &format!("{home}x")).contains("one machine"));
        assert_eq!(said(local_paths, "a.sh", &format!("cd $HOME{home}x")), "");
    }

    #[test]
    fn registries_fail() {
        let text = concat!("https://crates", ".io/x");
        assert!(said(registries, "a.md", text).contains("mirror"));
        assert_eq!(said(registries, "Cargo.lock", text), "");
    }
}
