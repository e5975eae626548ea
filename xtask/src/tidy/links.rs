//! Links between documents: each leads to a file that the project has.

use std::collections::BTreeSet;

use super::{Finding, Source};

pub fn check(source: &Source, paths: &BTreeSet<String>) -> Vec<Finding> {
    if !source.path.ends_with(".md") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in source.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let path = resolve(&source.path, &target);
            if !path.as_deref().is_some_and(|path| exists(paths, path)) {
                let message = format!(
                    "the link to `{target}` leads nowhere, and a reader would lose the way; name \
                     a file of the project, relative to this one"
                );
                found.push(source.finding(index + 1, message));
            }
        }
    }
    found
}

/// What `[text](target)` links to in this line, without what leads out of the project.
fn targets(line: &str) -> Vec<String> {
    // Every other piece between backquotes is code.
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let ends = |rest: &str| rest.find([')', ' ']).map(|end| rest[..end].to_owned());
    let outside = |target: &String| {
        target.contains("://") || target.starts_with("mailto:") || target.starts_with('#')
    };
    prose.split("](").skip(1).filter_map(ends).filter(|target| !outside(target)).collect()
}

/// The path from the root; none if it leaves the project.
fn resolve(from: &str, target: &str) -> Option<String> {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').collect(),
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn exists(paths: &BTreeSet<String>, path: &str) -> bool {
    let dir = if path.is_empty() { String::new() } else { format!("{path}/") };
    paths.contains(path)
        || paths.range(dir.clone()..).next().is_some_and(|next| next.starts_with(&dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> usize {
        let paths = ["README.md", "docs/a.md", "docs/b/c.md"].map(str::to_owned).into();
        check(&Source::new("docs/a.md", text), &paths).len()
    }

    #[test]
    fn links_to_nowhere_fail() {
        assert_eq!(broken("[x](missing.md)"), 1);
        assert_eq!(broken("[x](../../README.md) [y](README.md)"), 2);
        assert_eq!(broken("[x](../README.md#words) [y](b/c.md) [z](b) [w](/docs/a.md)"), 0);
        assert_eq!(broken("[x](https://example.com/a.md) [y](#below) `[z](code.md)`"), 0);
        assert_eq!(broken("```\n[x](missing.md)\n```"), 0);
    }
}
