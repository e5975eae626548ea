//! A call to a gateway, guarded, and the one question after a failed one: may it have been heard?
//!
//! The guard's own word is not enough for that. It may refuse a second try because the breaker
//! opened meanwhile, while the first one was heard. So each call keeps a trail of its tries.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use caudal_outbound::{
    Answer as Reply, Client, Guard, GuardOptions, HttpFault, Refused, Request, World,
};

use serde::de::DeserializeOwned;

use crate::port::{GatewayFault, NotSent, Unclear};

/// What an account's calls go through.
pub struct Calls {
    client: Client,
    guard: Guard,
}

impl Calls {
    /// `name` labels metrics: the kind of gateway, not the account.
    pub fn new(name: &str, client: Client, options: GuardOptions, world: World) -> Self {
        Self { client, guard: Guard::new(name, options, world) }
    }

    /// See [`crate::Gateway::refuses`].
    pub async fn refuses(&self) {
        self.guard.refuses().await;
    }

    /// Sends a request that bears an idempotency key, or changes nothing; again if need be, with
    /// jitter, while the time limit lasts. What comes back is a reply that settles the request:
    /// 2xx, or a 4xx that is the gateway's word on it.
    pub async fn send(&self, request: &Request) -> Result<Reply, GatewayFault> {
        let trail = Trail::default();
        let tries = || trail.follow(self.client.send(request.clone()));
        match self.guard.call_idempotent(tries).await {
            Ok(reply) => trail.judge(reply),
            Err(refused) if trail.may_be_heard() => Err(GatewayFault::Unclear(unclear(refused))),
            Err(refused) => Err(GatewayFault::NotSent(not_sent(refused))),
        }
    }
}

/// Reads a reply's JSON. A success that cannot be read is unclear: something did happen.
pub fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, GatewayFault> {
    serde_json::from_slice(&reply.body)
        .map_err(|_| GatewayFault::Unclear(Unclear::Nonsense("not what its gateway documents")))
}

/// What became of the tries of one call.
#[derive(Default)]
struct Trail {
    /// A try is under way: given up now, it is unclear.
    under_way: AtomicBool,
    /// A try ended unclear.
    unclear: AtomicBool,
}

impl Trail {
    /// Makes a try. Only what was certainly not heard leaves no trace.
    async fn follow(
        &self,
        call: impl Future<Output = Result<Reply, HttpFault>>,
    ) -> Result<Reply, HttpFault> {
        self.under_way.store(true, SeqCst);
        let result = call.await.and_then(settled);
        if matches!(&result, Err(fault) if !is_harmless(fault)) {
            self.unclear.store(true, SeqCst);
        }
        self.under_way.store(false, SeqCst);
        result
    }

    fn may_be_heard(&self) -> bool {
        self.under_way.load(SeqCst) || self.unclear.load(SeqCst)
    }

    /// After an unclear try, only what the gateway keeps under the key speaks of that try too: a
    /// success or a decline. A 401 or 404 was said before the key was looked at.
    fn judge(&self, reply: Reply) -> Result<Reply, GatewayFault> {
        let of_the_key = matches!(reply.status, 200..=299 | 402);
        if self.may_be_heard() && !of_the_key {
            return Err(GatewayFault::Unclear(Unclear::Status(reply.status)));
        }
        Ok(reply)
    }
}

/// Statuses that settle nothing are faults: the gateway's own failures, patience asked for (429),
/// and the same request under way already (409).
fn settled(reply: Reply) -> Result<Reply, HttpFault> {
    match reply.status {
        200..=299 => Ok(reply),
        408 | 409 | 425 | 429 => Err(HttpFault::Status(reply.status)),
        400..=499 => Ok(reply),
        status => Err(HttpFault::Status(status)),
    }
}

/// Whether the other side certainly did nothing.
fn is_harmless(fault: &HttpFault) -> bool {
    matches!(
        fault,
        HttpFault::NotConnected(_)
            | HttpFault::Setup(_)
            | HttpFault::Malformed(_)
            | HttpFault::Status(429)
    )
}

fn unclear(refused: Refused<HttpFault>) -> Unclear {
    match refused {
        Refused::TimedOut | Refused::Failed(HttpFault::TimedOut) => Unclear::TimedOut,
        Refused::Failed(HttpFault::Status(status)) => Unclear::Status(status),
        Refused::Failed(HttpFault::Connection(why)) => Unclear::ConnectionLost(why),
        Refused::Failed(HttpFault::TooLarge(_)) => Unclear::Nonsense("it is too large"),
        Refused::Failed(HttpFault::Nonsense(what)) => Unclear::Nonsense(what),
        other => Unclear::Earlier(other.to_string()),
    }
}

fn not_sent(refused: Refused<HttpFault>) -> NotSent {
    match refused {
        Refused::Open(wait) => NotSent::BreakerOpen(wait),
        Refused::Stalled => NotSent::Stalled,
        Refused::Busy => NotSent::Busy,
        Refused::Failed(HttpFault::NotConnected(why)) => NotSent::NoConnection(why),
        Refused::Failed(HttpFault::Status(_)) => NotSent::Throttled,
        // The limit ended between two tries, neither of which was heard.
        Refused::TimedOut => NotSent::NoConnection("no answer in time".into()),
        Refused::Failed(other) => NotSent::Unsendable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> Reply {
        Reply { status, body: bytes::Bytes::new() }
    }

    /// What the tries of a call came to, one after another, and what is made of it.
    async fn after(tries: Vec<Result<u16, HttpFault>>) -> Result<u16, GatewayFault> {
        let trail = Trail::default();
        let mut last = Err(HttpFault::NotConnected("none".into()));
        for tried in tries {
            last = trail.follow(async { tried.map(reply) }).await;
        }
        match last {
            Ok(last) => trail.judge(last).map(|reply| reply.status),
            Err(fault) if trail.may_be_heard() => {
                Err(GatewayFault::Unclear(unclear(Refused::Failed(fault))))
            }
            Err(fault) => Err(GatewayFault::NotSent(not_sent(Refused::Failed(fault)))),
        }
    }

    #[tokio::test]
    async fn one_try_that_may_have_been_heard_makes_the_call_unclear() {
        let refused = || Err(HttpFault::NotConnected("refused".into()));
        let lost = || Err(HttpFault::Connection("reset".into()));
        let table: [(Vec<Result<u16, HttpFault>>, &str); 14] = [
            (vec![Ok(200)], "200"),
            (vec![Ok(402)], "402"),
            (vec![Ok(400)], "400"),
            (vec![refused()], "not sent: no connection: refused"),
            (vec![refused(), refused()], "not sent: no connection: refused"),
            (vec![Ok(429)], "not sent: the gateway asks for patience (429)"),
            (vec![Ok(409)], "unclear: status 409"),
            (vec![lost()], "unclear: connection lost: reset"),
            (vec![Ok(500), Ok(200)], "200"),
            (vec![Ok(500), Ok(402)], "402"),
            (vec![Ok(500), Ok(401)], "unclear: status 401"),
            (vec![lost(), refused()], "unclear: an earlier try is unclear: no connection: refused"),
            (vec![lost(), Ok(429)], "unclear: status 429"),
            (vec![refused(), Ok(404)], "404"),
        ];
        for (tries, expected) in table {
            let told = format!("{tries:?}");
            let came = after(tries).await;
            let said = came.map_or_else(|fault| fault.to_string(), |status| status.to_string());
            assert_eq!(said, expected, "{told}");
        }
    }

    #[tokio::test]
    async fn a_try_given_up_while_under_way_is_unclear() {
        let trail = Trail::default();
        let never = std::future::pending::<Result<Reply, HttpFault>>();
        let mut call = Box::pin(trail.follow(never));
        assert!(futures::poll!(call.as_mut()).is_pending());
        drop(call);
        assert!(trail.may_be_heard());
    }
}
