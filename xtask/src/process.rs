//! Running other programs: with their output passed on line by line, and never for ever.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long the output of a program that has ended is still listened to. A server it left behind
/// may hold the pipe open, and must not hold us.
const GRACE: Duration = Duration::from_secs(2);

/// Takes away from the command what the environment says under this prefix.
pub fn without(command: &mut Command, prefix: &str) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(prefix) {
            command.env_remove(name);
        }
    }
}

/// Runs `command`, hands each line of its output and errors, in order, to `on_line`, and kills it
/// with all it started after `limit`.
pub fn stream(
    mut command: Command,
    limit: Duration,
    on_line: &mut dyn FnMut(&str),
) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe()?;
    command.stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    // The command keeps the writing end of the pipe; while it lives, the pipe never ends.
    drop(command);
    let (send, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if send.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    follow(&mut child, &lines, limit, on_line)
        .with_context(|| format!("{program} did not end by itself"))
}

fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    limit: Duration,
    on_line: &mut dyn FnMut(&str),
) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut ended = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => on_line(&line),
            Err(RecvTimeoutError::Disconnected) if ended.is_none() => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((_, at)) if at.elapsed() > GRACE => break,
            None if started.elapsed() > limit => {
                let mut all = descendants(child.id());
                all.push(child.id());
                kill_9(&all)?;
                child.wait()?;
                bail!("killed after its time limit of {} min", limit.as_secs() / 60);
            }
            _ => {}
        }
    }
    ended.map(|(status, _)| status).context("ended without a status")
}

/// Runs a short `command` and returns what it printed; its errors become ours.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        out.status.success(),
        "{program} failed ({}):\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr).trim_end()
    );
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// All processes below `pid`, by the parents that /proc names.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let above = found[next];
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(child, _)| child));
        next += 1;
    }
    found.split_off(1)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent …`: the name may contain anything, the last `)` ends it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A zombie does not run: it holds nothing any more and only waits for its parent to look.
pub fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}

/// Kills at once, as a power cut would. Those already gone are no error.
pub fn kill_9(pids: &[u32]) -> Result<()> {
    let mut command = Command::new("kill");
    command.arg("-9").args(pids.iter().map(u32::to_string));
    command.output().context("cannot run kill")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_errors_arrive_in_order() {
        let mut seen = Vec::new();
        let status = stream(
            shell("echo a; echo b >&2; echo c; exit 3"),
            Duration::from_secs(60),
            &mut |l| {
                seen.push(l.to_owned());
            },
        )
        .unwrap();
        assert_eq!((seen.join(" ").as_str(), status.code()), ("a b c", Some(3)));
    }

    #[test]
    fn a_program_that_never_ends_is_killed_with_its_children() {
        let mut child = 0;
        let ended =
            stream(shell("sleep 600 & echo $!; wait"), Duration::from_secs(2), &mut |line| {
                child = line.parse().unwrap()
            });
        assert!(format!("{:#}", ended.unwrap_err()).contains("time limit"));
        assert!(child > 0, "the shell said nothing within the limit");
        // A kill is delivered at once, but the end may come a moment later.
        let patience = Instant::now() + Duration::from_secs(10);
        while is_running(child) {
            assert!(Instant::now() < patience, "{child} still runs");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_server_left_behind_does_not_hold_the_run() {
        let started = Instant::now();
        let status =
            stream(shell("sleep 20 & exit 0"), Duration::from_secs(60), &mut |_| {}).unwrap();
        assert!(status.success() && started.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_failing_command_says_what_it_printed() {
        let error = output(&mut shell("echo why >&2; exit 1")).unwrap_err();
        assert!(error.to_string().contains("why"));
    }
}
