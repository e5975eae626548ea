//! The rules of a tenant in their order, and what they come to together.
//!
//! Rules are asked in their order. The first `allow` or `block` that holds ends it. A `review` that
//! holds does not: a `block` further down still blocks, an `allow` further down does not take the
//! review back. A rule that fails counts as a `review` that holds, whatever its action: what can't
//! be judged is looked at, and is never let through in silence.

use std::{collections::BTreeMap, sync::Arc};

use caudal_domain::{FraudAction, FraudRuleId};
use cel::Env;
use regex::Regex;

use crate::{
    Facts,
    rule::{CompileError, Mentions, Outcome, Rule, context},
};

/// A rule that spoke against a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: FraudRuleId,
    /// It could not be evaluated.
    pub has_failed: bool,
}

/// What is to become of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Review(Finding),
    Block(Finding),
}

/// A rule with its name and what it is for.
#[derive(Debug)]
pub struct Ranked {
    pub id: FraudRuleId,
    pub action: FraudAction,
    /// Why it is none any more: what was let in by an earlier version may not be now.
    pub rule: Result<Rule, CompileError>,
}

/// Rules in their order.
pub struct RuleSet {
    rules: Vec<Ranked>,
    mentions: Mentions,
    patterns: Arc<BTreeMap<String, Regex>>,
    env: Arc<Env>,
}

impl RuleSet {
    pub fn new(mut rules: Vec<Ranked>) -> Self {
        let (mut mentions, mut patterns) = (Mentions::default(), BTreeMap::new());
        for rule in rules.iter_mut().filter_map(|ranked| ranked.rule.as_mut().ok()) {
            mentions.add(&rule.mentions);
            patterns.append(&mut rule.patterns);
        }
        let (patterns, env) = (Arc::new(patterns), Arc::new(Env::stdlib()));
        Self { rules, mentions, patterns, env }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What all of them look at together.
    pub fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// `failed` is told of each rule that could not be evaluated, and why.
    pub fn judge(&self, facts: &Facts<'_>, mut failed: impl FnMut(FraudRuleId, &str)) -> Verdict {
        let context = match context(self.env.clone(), self.patterns.clone(), facts) {
            Ok(context) => context,
            Err(why) => return self.fail_all(&why, failed),
        };
        let mut review = None;
        for Ranked { id, action, rule } in &self.rules {
            let finding = Finding { rule: *id, has_failed: false };
            let outcome = match rule {
                Ok(rule) => rule.ask(&context),
                Err(wrong) => Outcome::Failed(wrong.to_string()),
            };
            match (outcome, action) {
                (Outcome::DoesNot, _) => {}
                (Outcome::Holds, FraudAction::Allow) => break,
                (Outcome::Holds, FraudAction::Block) => return Verdict::Block(finding),
                (Outcome::Holds, FraudAction::Review) => review = review.or(Some(finding)),
                (Outcome::Failed(why), _) => {
                    failed(*id, &why);
                    review = review.or(Some(Finding { has_failed: true, ..finding }));
                }
            }
        }
        review.map_or(Verdict::Allow, Verdict::Review)
    }

    fn fail_all(&self, why: &str, mut failed: impl FnMut(FraudRuleId, &str)) -> Verdict {
        let Some(first) = self.rules.first() else { return Verdict::Allow };
        failed(first.id, why);
        Verdict::Review(Finding { rule: first.id, has_failed: true })
    }
}
