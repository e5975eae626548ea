//! What a request says: random pairs of wallets, small amounts, a key of its own.

use std::sync::Arc;

use crate::connection::Targets;

/// Largest amount of one transfer.
const AMOUNT_MOST: u64 = 100;

/// What a request makes. Fundings are always transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Transfer,
    /// From wallet to wallet.
    Payment,
    /// From a card to a wallet.
    CardPayment,
}

impl Made {
    /// Where it is made, and where it is listed.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Transfer => "/api/v1/transfers",
            Self::Payment | Self::CardPayment => "/api/v1/payments",
        }
    }

    /// What precedes its identity in an answer.
    pub(crate) fn intro(self) -> &'static [u8] {
        match self {
            Self::Transfer => b"\"id\":\"trf_",
            Self::Payment | Self::CardPayment => b"\"id\":\"pay_",
        }
    }

    /// Least amount: gateways take nothing smaller.
    fn least(self) -> u64 {
        match self {
            Self::Transfer | Self::Payment => 1,
            Self::CardPayment => 100,
        }
    }
}

/// What all requests of a run have in common.
#[derive(Debug)]
pub(crate) struct Script {
    pub made: Made,
    /// Begins every idempotency key of the run.
    pub run: String,
    /// Ids of the wallets; the first is the hot one.
    pub wallets: Vec<String>,
    pub hot: u8,
    pub batch: usize,
    pub seed: u64,
}

/// A small generator (xorshift64*): the same seed gives the same run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = u128::from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)) * u128::from(bound);
        (wide >> 64) as u64
    }
}

/// Writes the requests of one worker, each into the same buffer.
#[derive(Debug)]
pub(crate) struct Composer {
    script: Arc<Script>,
    random: Random,
    head: Vec<u8>,
    key: Vec<u8>,
    body: Vec<u8>,
    request: Vec<u8>,
    sent: u64,
    hot_pays: bool,
}

impl Composer {
    pub(crate) fn new(script: Arc<Script>, targets: &Targets, worker: usize) -> Self {
        let single = script.batch == 1;
        let path = if single { script.made.path() } else { "/api/v1/transfers/batch" };
        let mut head = targets.head("POST", path);
        head.push_str("Content-Type: application/json\r\n");
        if single {
            head.push_str("Idempotency-Key: ");
        }
        let random = Random::new(script.seed.wrapping_mul(1_000_003).wrapping_add(worker as u64));
        Self {
            random,
            head: head.into_bytes(),
            key: format!("{}-{worker}-", script.run).into_bytes(),
            body: Vec::with_capacity(256 * script.batch),
            request: Vec::with_capacity(512 + 256 * script.batch),
            sent: 0,
            hot_pays: worker.is_multiple_of(2),
            script,
        }
    }

    /// The next request, whole.
    pub(crate) fn next(&mut self) -> &[u8] {
        self.body.clear();
        self.request.clear();
        self.request.extend_from_slice(&self.head);
        if self.script.batch == 1 {
            self.sent += 1;
            self.request.extend_from_slice(&self.key);
            push_number(&mut self.request, self.sent);
            self.request.extend_from_slice(b"\r\n");
            self.body.push(b'{');
            self.transfer();
        } else {
            self.batch();
        }
        self.request.extend_from_slice(b"Content-Length: ");
        push_number(&mut self.request, self.body.len() as u64);
        self.request.extend_from_slice(b"\r\n\r\n");
        self.request.extend_from_slice(&self.body);
        &self.request
    }

    /// Items carry the keys; the request itself then needs none.
    fn batch(&mut self) {
        self.body.extend_from_slice(b"{\"transfers\":[");
        for item in 0..self.script.batch {
            self.sent += 1;
            let open: &[u8] =
                if item == 0 { b"{\"idempotency_key\":\"" } else { b",{\"idempotency_key\":\"" };
            self.body.extend_from_slice(open);
            self.body.extend_from_slice(&self.key);
            push_number(&mut self.body, self.sent);
            self.body.extend_from_slice(b"\",");
            self.transfer();
        }
        self.body.extend_from_slice(b"]}");
    }

    fn transfer(&mut self) {
        let (from, to) = self.pair();
        let made = self.script.made;
        let amount = made.least() + self.random.below(AMOUNT_MOST);
        let wallets = &self.script.wallets;
        self.body.extend_from_slice(match made {
            Made::Transfer => b"",
            Made::Payment => b"\"type\":\"wallet\",",
            Made::CardPayment => b"\"type\":\"card\",\"payment_method\":\"pm_card_visa\",",
        });
        if made != Made::CardPayment {
            self.body.extend_from_slice(b"\"from\":\"");
            self.body.extend_from_slice(wallets[from].as_bytes());
            self.body.extend_from_slice(b"\",");
        }
        self.body.extend_from_slice(b"\"to\":\"");
        self.body.extend_from_slice(wallets[to].as_bytes());
        self.body.extend_from_slice(b"\",\"amount\":");
        push_number(&mut self.body, amount);
        self.body.extend_from_slice(b",\"currency\":\"USD\"}");
    }

    /// Payer and payee, never the same. The hot wallet pays and is paid in turn: it never runs dry.
    fn pair(&mut self) -> (usize, usize) {
        let count = self.script.wallets.len() as u64;
        if self.random.below(100) < u64::from(self.script.hot) {
            let other = 1 + self.random.below(count - 1) as usize;
            self.hot_pays = !self.hot_pays;
            return if self.hot_pays { (0, other) } else { (other, 0) };
        }
        let from = self.random.below(count);
        let to = self.random.below(count - 1);
        (from as usize, (to + u64::from(to >= from)) as usize)
    }
}

fn push_number(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composer(hot: u8, batch: usize) -> Composer {
        let wallets = (0..3).map(|n| format!("wal_{n}")).collect();
        let made = Made::Transfer;
        let script = Script { made, run: "r".into(), wallets, hot, batch, seed: 7 };
        let targets = Targets::new(&["http://h:1".into()], "k").unwrap();
        Composer::new(Arc::new(script), &targets, 4)
    }

    fn body(request: &[u8]) -> serde_json::Value {
        let at = crate::connection::find(request, b"\r\n\r\n").unwrap();
        let head = String::from_utf8(request[..at].to_vec()).unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", request.len() - at - 4)), "{head}");
        serde_json::from_slice(&request[at + 4..]).unwrap()
    }

    #[test]
    fn single_requests_are_sound_and_their_keys_differ() {
        let mut composer = composer(0, 1);
        for sent in 1..200 {
            let request = composer.next();
            let key = format!("Idempotency-Key: r-4-{sent}\r\n");
            assert!(crate::connection::find(request, key.as_bytes()).is_some());
            let body = body(request);
            assert_ne!(body["from"], body["to"]);
            assert!((1..=100).contains(&body["amount"].as_u64().unwrap()));
        }
    }

    #[test]
    fn a_batch_holds_its_transfers_with_a_key_each() {
        let body = body(composer(50, 3).next());
        let keys: Vec<_> =
            (0..3).map(|n| body["transfers"][n]["idempotency_key"].clone()).collect();
        assert_eq!(keys, ["r-4-1", "r-4-2", "r-4-3"]);
    }

    #[test]
    fn the_hot_wallet_pays_and_is_paid_in_turn() {
        let mut composer = composer(100, 1);
        let pays: Vec<bool> = (0..6).map(|_| body(composer.next())["from"] == "wal_0").collect();
        assert_eq!(pays, [false, true, false, true, false, true]);
    }

    #[test]
    fn numbers_are_written_in_full() {
        let mut text = Vec::new();
        for number in [0, 9, 10, u64::MAX] {
            push_number(&mut text, number);
            text.push(b' ');
        }
        assert_eq!(text, b"0 9 10 18446744073709551615 ");
    }
}
