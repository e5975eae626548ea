//! The limiter against a naive list of times, and the tricks that are tried on it.

use proptest::prelude::*;

use super::*;

fn key(principal: u128) -> LimitKey {
    LimitKey { tenant: TenantId(1), principal, action: "transfer" }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros)
}

fn limit(most: u32, per_us: i64) -> Limit {
    Limit { most, per: Duration::from_micros(per_us as u64) }
}

/// Every admitted time, never forgotten.
#[derive(Default)]
struct Naive(Vec<i64>);

impl Naive {
    fn within(&self, now: i64, per: i64) -> usize {
        self.0.iter().filter(|&&then| then > now - per).count()
    }
}

fn gaps() -> impl Strategy<Value = Vec<i64>> {
    let gap = prop_oneof![60 => 0..300i64, 3 => 0..5_000i64, 1 => 0..130_000i64];
    prop::collection::vec(gap, 1..800)
}

proptest! {
    #[test]
    fn no_window_sees_more_than_the_limit(most in 0..400u32, per in 1..100_000i64, gaps in gaps()) {
        let (limiter, mut naive, mut now) = (Limiter::new(64), Naive::default(), 0);
        for gap in gaps {
            now += gap;
            let said = limiter.check(key(1), limit(most, per), at(now));
            let seen = naive.within(now, per);
            if said.allowed {
                prop_assert!(seen < most as usize, "{seen} were there already");
                naive.0.push(now);
            } else {
                // Late by a 64th of the window at most, and not at all for small limits.
                let late = if most <= EXACT { 0 } else { per / 64 + 1 };
                prop_assert!(naive.within(now, per + late) >= most as usize);
            }
            if most <= EXACT {
                let free = most as usize - naive.within(now, per);
                prop_assert_eq!(said.remaining as usize, free);
            }
        }
    }

    #[test]
    fn retry_after_is_when_a_call_is_allowed_again(
        most in 1..200u32, per in 100..100_000i64, gaps in gaps()
    ) {
        let (limiter, mut now) = (Limiter::new(64), 0);
        for gap in gaps {
            now += gap;
            let said = limiter.check(key(1), limit(most, per), at(now));
            if !said.allowed {
                let wait = said.retry_after.as_micros() as i64;
                prop_assert!(wait > 0);
                let early = limiter.peek(key(1), limit(most, per), at(now + wait - 1));
                prop_assert!(!early.allowed);
                now += wait;
                prop_assert!(limiter.check(key(1), limit(most, per), at(now)).allowed);
            }
        }
        let said = limiter.peek(key(1), limit(most, per), at(now));
        let reset = said.reset_after.as_micros() as i64;
        let before = limiter.peek(key(1), limit(most, per), at(now + reset - 1));
        prop_assert!(before.remaining < most);
        let later = limiter.peek(key(1), limit(most, per), at(now + reset));
        prop_assert_eq!(later.remaining, most);
    }

    #[test]
    fn memory_is_bounded_whatever_the_limits(
        steps in prop::collection::vec((0..5_000u32, 1..50_000i64, 0..40i64), 1..2_000)
    ) {
        let mut log = Log::new(limit(1, 1));
        let mut now = 0;
        for (most, per, gap) in steps {
            now += gap;
            log.check(limit(most, per), at(now));
            prop_assert!(log.runs.len() <= RUNS);
            prop_assert_eq!(log.count, log.runs.iter().map(|run| run.count).sum::<u32>());
        }
    }
}

#[test]
fn a_call_given_back_is_free_again_and_others_keep_their_time() {
    for most in [3, 300] {
        let (limiter, limit) = (Limiter::new(64), limit(most, 6_400_000));
        let first = limiter.check(key(1), limit, at(0));
        let later = (1..i64::from(most)).map(|n| limiter.check(key(1), limit, at(n * 7)).allowed);
        assert!(later.into_iter().all(|allowed| allowed));
        assert!(!limiter.peek(key(1), limit, at(9_000)).allowed);
        limiter.give_back(key(1), first.at);
        assert!(limiter.check(key(1), limit, at(9_000)).allowed);
        // The rest is still counted until its own window is over.
        assert!(!limiter.check(key(1), limit, at(6_400_006)).allowed);
    }
}

#[test]
fn a_call_that_is_over_takes_no_other_with_it_when_given_back() {
    let (limiter, limit) = (Limiter::new(64), limit(1, 1_000));
    let first = limiter.check(key(1), limit, at(0));
    assert!(limiter.check(key(1), limit, at(1_000)).allowed);
    limiter.give_back(key(1), first.at);
    assert!(!limiter.check(key(1), limit, at(1_001)).allowed);
}

#[test]
fn a_clock_that_goes_back_frees_nothing() {
    let (limiter, limit) = (Limiter::new(64), limit(2, 1_000));
    assert!(limiter.check(key(1), limit, at(5_000)).allowed);
    assert!(limiter.check(key(1), limit, at(0)).allowed);
    assert!(!limiter.check(key(1), limit, at(1_500)).allowed);
    assert!(limiter.check(key(1), limit, at(6_000)).allowed);
}

#[test]
fn keys_do_not_share() {
    let (limiter, limit) = (Limiter::new(64), limit(1, 1_000));
    let other_action = LimitKey { action: "fund", ..key(1) };
    let other_tenant = LimitKey { tenant: TenantId(2), ..key(1) };
    for key in [key(1), key(2), other_action, other_tenant] {
        assert!(limiter.check(key, limit, at(0)).allowed);
        assert!(!limiter.check(key, limit, at(1)).allowed);
    }
}

#[test]
fn a_flood_of_fresh_keys_does_not_free_an_exhausted_one() {
    let (limiter, limit) = (Limiter::new(1_024), limit(10, 3_600_000_000));
    while limiter.check(key(0), limit, at(0)).allowed {}
    for n in 1..100_000 {
        limiter.check(key(n), limit, at(n as i64));
        assert!(limiter.keys() <= 1_024);
    }
    assert!(!limiter.check(key(0), limit, at(200_000)).allowed);
}

#[test]
fn a_key_whose_window_is_over_makes_room_first() {
    let mut shard = Shard::new(2);
    let (short, long) = (limit(2, 10), limit(1_000, 1_000_000));
    assert!(shard.check(key(1), short, at(0)).allowed);
    assert!(shard.check(key(1), short, at(1)).allowed);
    assert!(shard.check(key(2), long, at(2)).allowed);
    assert!(shard.check(key(3), long, at(100)).allowed);
    assert!(shard.log(&key(1)).is_none());
    assert_eq!(shard.log(&key(2)).map(|log| log.count), Some(1));
}

#[test]
fn an_ipv6_subscriber_is_one_principal() {
    let of = |text: &str| address(text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}
