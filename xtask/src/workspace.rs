//! Where the checkout is, which files it tracks and which packages it holds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub struct Workspace {
    pub root: PathBuf,
}

/// A member of the workspace, as far as tidy and the test report need to know it.
#[derive(Clone, Debug, Default)]
pub struct Package {
    pub name: String,
    /// Normal dependencies only: what tests alone use never reaches production.
    pub dependencies: Vec<String>,
    /// Integration tests, by name.
    pub tests: Vec<String>,
}

/// The cargo that started this program, so that a pinned toolchain stays pinned.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Workspace {
    /// The workspace this program was started for, else the one around the current directory.
    pub fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => std::env::current_dir()?,
        };
        let root = start
            .ancestors()
            .find(|dir| dir.join("ARCHITECTURE.md").is_file() && dir.join("Cargo.toml").is_file())
            .context("not inside a checkout of Caudal: run it as `cargo xtask …` from there")?;
        Ok(Self { root: root.to_owned() })
    }

    /// Every file that is, or is about to be, part of the project, relative to the root: tracked
    /// ones, and new ones that are not ignored, so that tidy speaks before the commit.
    pub fn files(&self) -> Result<Vec<String>> {
        // A checkout owned by another user (a container's mount, say) is still ours to read.
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output();
        let mut files = match listed {
            Ok(out) if out.status.success() => String::from_utf8(out.stdout)?
                .split_terminator('\0')
                .filter(|path| self.root.join(path).is_file())
                .map(str::to_owned)
                .collect(),
            // No git, or a copy without its history: what lies here is what there is.
            _ => self.walk()?,
        };
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn walk(&self) -> Result<Vec<String>> {
        let (mut files, mut open) = (Vec::new(), vec![self.root.clone()]);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let built = ["target", "node_modules", "dist", "data", ".git"];
                if path.is_dir() && !path.is_symlink() && !built.contains(&name.as_str()) {
                    open.push(path);
                } else if path.is_file() && !name.starts_with("caudal.db") {
                    files.push(path.strip_prefix(&self.root)?.to_string_lossy().into_owned());
                }
            }
        }
        Ok(files)
    }

    pub fn packages(&self) -> Result<Vec<Package>> {
        let out = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&self.root)
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            out.status.success(),
            "cargo metadata failed, so some Cargo.toml is wrong:\n{}",
            String::from_utf8_lossy(&out.stderr).trim_end()
        );
        let metadata: Value = serde_json::from_slice(&out.stdout)?;
        let packages = metadata["packages"].as_array().context("cargo metadata: no packages")?;
        Ok(packages.iter().map(Package::from_metadata).collect())
    }

    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}

impl Package {
    fn from_metadata(package: &Value) -> Self {
        let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| package[key].as_array().cloned().unwrap_or_default();
        let is_test = |target: &&Value| target["kind"][0] == "test";
        Self {
            name: name(package),
            dependencies: list("dependencies")
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(name)
                .collect(),
            tests: list("targets").iter().filter(is_test).map(name).collect(),
        }
    }
}
