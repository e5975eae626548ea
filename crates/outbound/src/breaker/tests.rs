//! Tables: each letter is a call or a wait, what came of it stands below.

use super::*;

/// Plays a line. `+` and `-` are calls that succeed and fail, `?` one that is given up, `.` a
/// second, `w` 30 seconds. Below: `y` let through, `n` not, a blank for a wait.
fn play(line: &str) -> String {
    let mut breaker = Breaker::new(BreakerOptions { window: 6, least: 4, ..Default::default() });
    let mut now = Timestamp::from_micros(0);
    let step = |c| {
        let outcome = match c {
            '+' => Outcome::Success,
            '-' => Outcome::Failure,
            '?' => Outcome::Unknown,
            wait => {
                now = now.plus_seconds(if wait == 'w' { 30 } else { 1 });
                return ' ';
            }
        };
        match breaker.admit(now) {
            Ok(pass) => {
                breaker.settle(pass, outcome, now);
                'y'
            }
            Err(_) => 'n',
        }
    };
    line.chars().map(step).collect()
}

#[test]
fn it_opens_at_half_of_the_window_and_not_before_the_least() {
    for (line, passes) in [
        ("----+", "yyyyn"),
        ("---", "yyy"),
        ("+-+-+", "yyyyn"),
        ("+++--+++", "yyyyyyyy"),
        // Three of the last six: the first two have left the window.
        ("+++++---+", "yyyyyyyyn"),
        ("-+++++--+-+", "yyyyyyyyyyn"),
        // Given up tells nothing.
        ("---??????+", "yyyyyyyyyy"),
    ] {
        assert_eq!(play(line), passes, "{line}");
    }
}

#[test]
fn after_a_while_one_probe_decides() {
    for (line, passes) in [
        ("----.+", "yyyy n"),
        ("----w++++", "yyyy yyyy"),
        ("----w-+", "yyyy yn"),
        ("----w-.+", "yyyy y n"),
        ("----w-w+", "yyyy y y"),
        // A probe given up lets the next one try at once.
        ("----w?+", "yyyy yy"),
        // Closed again, the old failures are forgotten.
        ("----w+---", "yyyy yyyy"),
        ("----w+----+", "yyyy yyyyyn"),
    ] {
        assert_eq!(play(line), passes, "{line}");
    }
}

#[test]
fn one_probe_at_a_time_and_late_answers_do_not_count() {
    let mut breaker = Breaker::new(BreakerOptions { least: 2, ..Default::default() });
    let start = Timestamp::from_micros(0);
    let late = breaker.admit(start).unwrap();
    for _ in 0..2 {
        let pass = breaker.admit(start).unwrap();
        breaker.settle(pass, Outcome::Failure, start);
    }
    assert_eq!(breaker.admit(start.plus_seconds(10)), Err(Duration::from_secs(20)));

    let later = start.plus_seconds(30);
    let probe = breaker.admit(later).unwrap();
    assert_eq!(breaker.admit(later), Err(Duration::ZERO));
    // It began before the breaker opened, so it says nothing about now.
    breaker.settle(late, Outcome::Success, later);
    assert!(breaker.is_open());
    breaker.settle(probe, Outcome::Success, later);
    assert!(!breaker.is_open());
}
