//! Waiting without sleeping in tests: for a condition, or for many at once.

use std::time::Duration;

use futures::future::join_all;

/// What is not there after so long does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks again and again until `is_so`; fails the test, naming `what`, after ten seconds.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if is_so().await {
                return;
            }
        }
    };
    let came = tokio::time::timeout(PATIENCE, looking).await;
    assert!(came.is_ok(), "waited ten seconds for: {what}");
}

/// Runs `count` futures at once and gives their outputs in order.
pub async fn at_once<F>(count: usize, make: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let running: Vec<_> = (0..count).map(|number| tokio::spawn(make(number))).collect();
    let ended = join_all(running).await;
    ended.into_iter().map(|end| end.expect("a task of the test ended well")).collect()
}
