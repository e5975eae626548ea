//! Shows a person that something happens, and how fast. Silent where no terminal listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

/// Between two looks at the counter.
const TICK: Duration = Duration::from_millis(250);

/// A bar that follows a counter until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

/// What the length of the bar stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Span {
    Time(Duration),
    Count(u64),
}

impl Progress {
    pub(crate) fn new(shown: bool, what: &str, span: Span, counter: Arc<AtomicU64>) -> Self {
        let bar = match span {
            Span::Time(whole) => ProgressBar::new(whole.as_millis() as u64),
            Span::Count(whole) => ProgressBar::new(whole),
        };
        bar.set_draw_target(if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        let style = ProgressStyle::with_template("{prefix:<24} {bar:32} {percent:>3}% {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        let task = tokio::spawn(follow(bar.clone(), span, counter));
        Self { bar, task }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

async fn follow(bar: ProgressBar, span: Span, counter: Arc<AtomicU64>) {
    let begun = Instant::now();
    let (mut seen, mut at) = (0, begun);
    loop {
        tokio::time::sleep(TICK).await;
        let (now, count) = (Instant::now(), counter.load(Ordering::Relaxed));
        let speed = count.saturating_sub(seen) as f64 / (now - at).as_secs_f64();
        bar.set_message(format!("{speed:.0}/s"));
        bar.set_position(match span {
            Span::Time(_) => (now - begun).as_millis() as u64,
            Span::Count(_) => count,
        });
        (seen, at) = (count, now);
    }
}
