//! One rule: compiled once, asked for many payments.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use caudal_domain::Currency;
use cel::{
    Context, Env, ExecutionError, ParseErrors, Value,
    common::ast::{IdedExpr, SourceInfo},
};
use regex::Regex;

use crate::{Facts, check::Checker};

pub const EXPRESSION_BYTES: usize = 2_000;
/// Parts of an expression: names, values and operators. Each is evaluated once at most.
pub const NODES_MOST: usize = 200;
pub const PATTERN_BYTES: usize = 200;
/// Brackets in all: they nest no deeper than that, whatever else stands between them.
const BRACKETS_MOST: usize = 60;
/// Expressions in expressions, as the parser counts.
const NESTING_MOST: u16 = 32;
/// Where the parser stops to look for a way to go on.
const PARSE_ERRORS_MOST: u32 = 3;

/// Why an expression is no rule, and where; both from 1 on, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, column, message } = self;
        write!(f, "line {line}, column {column}: {message}")
    }
}

/// What an expression looks at: nothing else has to be known to evaluate it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    pub wallet: bool,
    pub user: bool,
    pub payer_velocity: bool,
    pub wallet_velocity: bool,
    pub method_velocity: bool,
    pub currencies: BTreeSet<Currency>,
}

impl Mentions {
    pub(crate) fn note(&mut self, name: &str) {
        let starts = |prefix: &str| name.starts_with(prefix);
        self.wallet |= starts("wallet.");
        self.user |= starts("user.");
        self.payer_velocity |= starts("velocity.payer.");
        self.wallet_velocity |= starts("velocity.wallet.");
        self.method_velocity |= starts("velocity.method.");
    }

    pub fn add(&mut self, other: &Self) {
        self.wallet |= other.wallet;
        self.user |= other.user;
        self.payer_velocity |= other.payer_velocity;
        self.wallet_velocity |= other.wallet_velocity;
        self.method_velocity |= other.method_velocity;
        self.currencies.extend(&other.currencies);
    }
}

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Holds,
    DoesNot,
    /// Division by zero, a member that is not there, no rate: why.
    Failed(String),
}

/// A compiled expression.
#[derive(Debug)]
pub struct Rule {
    expr: IdedExpr,
    pub mentions: Mentions,
    pub(crate) patterns: BTreeMap<String, Regex>,
}

impl Rule {
    pub fn compile(expression: &str) -> Result<Self, CompileError> {
        check_size(expression)?;
        let parser = Env::stdlib()
            .with_optional_support(false)
            .parser()
            .max_recursion_depth(NESTING_MOST)
            .error_recovery_limit(PARSE_ERRORS_MOST);
        let parsed = parser.parse_with_source_info(expression);
        let (expr, source) = parsed.map_err(|errors| unreadable(expression, &errors))?;
        let mut checker = Checker::default();
        let checked = checker.check(&expr);
        checked.map_err(|wrong| {
            let (line, column) = place(expression, &source, wrong.node);
            CompileError { line, column, message: wrong.message }
        })?;
        Ok(Self { expr, mentions: checker.mentions, patterns: checker.patterns })
    }

    /// Of this rule alone; many are asked by [`crate::RuleSet`].
    pub fn evaluate(&self, facts: &Facts<'_>) -> Outcome {
        let env = Arc::new(Env::stdlib());
        let patterns = Arc::new(self.patterns.clone());
        match context(env, patterns, facts) {
            Ok(context) => self.ask(&context),
            Err(why) => Outcome::Failed(why),
        }
    }

    pub(crate) fn ask(&self, context: &Context<'_, '_>) -> Outcome {
        match Value::resolve(&self.expr, context) {
            Ok(Value::Bool(true)) => Outcome::Holds,
            Ok(Value::Bool(false)) => Outcome::DoesNot,
            Ok(_) => Outcome::Failed("it gave neither true nor false".into()),
            Err(error) => Outcome::Failed(said(&error)),
        }
    }
}

/// The names and functions of one evaluation.
pub(crate) fn context<'f>(
    env: Arc<Env>,
    patterns: Arc<BTreeMap<String, Regex>>,
    facts: &'f Facts<'_>,
) -> Result<Context<'f, 'f>, String> {
    let mut context = Context::with_env(env);
    context.set_variable_resolver(facts);
    let mut amounts = facts.amounts.clone();
    amounts.insert(facts.payment.currency, facts.payment.amount);
    let amount_in = move |code: Arc<String>| -> Result<i64, ExecutionError> {
        let known = Currency::from_code(&code).and_then(|it| amounts.get(&it).copied());
        known.ok_or_else(|| {
            ExecutionError::function_error("amount_in", format!("there is no rate to {code}"))
        })
    };
    let matches = move |text: cel::extractors::This<Arc<String>>, pattern: Arc<String>| {
        let found = patterns.get(pattern.as_str());
        found.is_some_and(|pattern| pattern.is_match(&text.0))
    };
    let added = context.add_function("payment.amount_in", amount_in);
    let added = added.and_then(|()| context.add_function("matches", matches));
    added.map_err(|error| error.to_string())?;
    Ok(context)
}

/// Never the values themselves: they may be words of people.
fn said(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("the metadata has no {key}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "a division by zero".into()
        }
        ExecutionError::Overflow(..) => "a number that is too large".into(),
        ExecutionError::FunctionError { function, message } if function == "amount_in" => {
            message.clone()
        }
        ExecutionError::FunctionError { function, .. } => format!("{function} failed"),
        _ => "the values do not fit the expression".into(),
    }
}

fn check_size(expression: &str) -> Result<(), CompileError> {
    let wrong = |message: String| Err(CompileError { line: 1, column: 1, message });
    if expression.len() > EXPRESSION_BYTES {
        return wrong(format!("a rule has {EXPRESSION_BYTES} bytes at most"));
    }
    if expression.contains('\0') {
        return wrong("holds the character U+0000".into());
    }
    match expression.matches(['(', '[', '{']).count() > BRACKETS_MOST {
        true => wrong(format!("a rule has {BRACKETS_MOST} brackets at most")),
        false => Ok(()),
    }
}

fn unreadable(expression: &str, errors: &ParseErrors) -> CompileError {
    let Some(first) = errors.errors.first() else {
        return CompileError { line: 1, column: 1, message: "it can't be read".into() };
    };
    let (line, column) = first.pos;
    let at = |place: isize| usize::try_from(place).unwrap_or(1).max(1);
    let last = expression.lines().count().max(1);
    let message = first.msg.clone();
    CompileError { line: at(line).min(last), column: at(column), message }
}

/// Line and column of a node.
fn place(expression: &str, source: &SourceInfo, node: u64) -> (usize, usize) {
    let offset = source.offset_for(node).map_or(0, |(start, _)| start as usize);
    let before: String = expression.chars().take(offset).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
    (line, column)
}
