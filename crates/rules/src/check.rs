//! Names and types of an expression, checked before any payment meets it, and what it will look at.

use std::collections::BTreeMap;

use caudal_domain::Currency;
use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators};
use regex::{Regex, RegexBuilder};

use crate::{
    facts::{NAMES, OPTIONAL},
    rule::{Mentions, NODES_MOST, PATTERN_BYTES},
};

/// Of what a compiled pattern may take.
const PATTERN_MEMORY: usize = 256 * 1024;
const PATTERN_DEPTH: u32 = 32;
/// Chains such as `1 + 1 + …` are as deep as they are long.
const DEPTH_MOST: u32 = 64;
const AMOUNT_IN: &str = "amount_in";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int,
    Double,
    Text,
    /// Of text to text.
    Map,
    /// Of values of one type.
    List(Item),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Bool,
    Number,
    Text,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Double => "a double",
            Self::Text => "a string",
            Self::Map => "a map",
            Self::List(_) => "a list",
        }
    }

    /// What a list of it holds, and what it can be compared with.
    fn item(self) -> Option<Item> {
        match self {
            Self::Bool => Some(Item::Bool),
            Self::Int | Self::Double => Some(Item::Number),
            Self::Text => Some(Item::Text),
            Self::Map | Self::List(_) => None,
        }
    }
}

/// What is wrong, and with which node.
pub(crate) struct Wrong {
    pub node: u64,
    pub message: String,
}

type Typed = Result<Type, Wrong>;

fn wrong<T>(node: u64, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { node, message: message.into() })
}

/// What checking gathers besides.
#[derive(Default)]
pub(crate) struct Checker {
    pub mentions: Mentions,
    pub patterns: BTreeMap<String, Regex>,
    nodes: usize,
    depth: u32,
}

impl Checker {
    /// The whole of an expression: a bool.
    pub fn check(&mut self, expr: &IdedExpr) -> Result<(), Wrong> {
        match self.type_of(expr)? {
            Type::Bool => Ok(()),
            other => wrong(expr.id, format!("a rule is true or false, this is {}", other.name())),
        }
    }

    fn type_of(&mut self, expr: &IdedExpr) -> Typed {
        (self.nodes, self.depth) = (self.nodes + 1, self.depth + 1);
        if self.nodes > NODES_MOST {
            return wrong(expr.id, format!("a rule has {NODES_MOST} parts at most"));
        }
        if self.depth > DEPTH_MOST {
            return wrong(expr.id, format!("a rule is {DEPTH_MOST} levels deep at most"));
        }
        let found = match &expr.expr {
            Expr::Literal(literal) => literal_type(expr.id, literal),
            Expr::Ident(name) => wrong(expr.id, unknown(name)),
            Expr::Select(select) => self.select(expr.id, select),
            Expr::Call(call) => self.call(expr.id, call),
            Expr::List(list) => self.list(expr.id, list),
            Expr::Comprehension(_) => {
                wrong(expr.id, "a rule can't loop: use `in`, not exists, all, map or filter")
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                wrong(expr.id, "a rule can't make maps or objects")
            }
        };
        self.depth -= 1;
        found
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Typed {
        if select.test {
            return self.presence(id, select);
        }
        if let Some(name) = qualified(select)
            && let Some((_, found)) = NAMES.iter().find(|(known, _)| **known == *name)
        {
            self.mentions.note(&name);
            return Ok(*found);
        }
        if is_of_names(&select.operand.expr) {
            return wrong(id, unknown(&qualified(select).unwrap_or_default()));
        }
        match self.type_of(&select.operand)? {
            Type::Map => Ok(Type::Text),
            other => wrong(id, format!("{} has no member {}", other.name(), select.field)),
        }
    }

    /// `has(…)`.
    fn presence(&mut self, id: u64, select: &SelectExpr) -> Typed {
        if matches!(&select.operand.expr, Expr::Ident(name) if name == "payment")
            && select.field == OPTIONAL
        {
            return Ok(Type::Bool);
        }
        match &select.operand.expr {
            Expr::Ident(_) => wrong(id, format!("{} is always there", select.field)),
            _ if self.type_of(&select.operand)? == Type::Map => Ok(Type::Bool),
            _ => wrong(id, format!("{} is always there", select.field)),
        }
    }

    fn list(&mut self, id: u64, list: &ListExpr) -> Typed {
        let mut items = Vec::with_capacity(list.elements.len());
        for element in &list.elements {
            match self.type_of(element)?.item() {
                Some(item) => items.push(item),
                None => return wrong(element.id, "a list holds strings, numbers or bools"),
            }
        }
        match items.first() {
            None => wrong(id, "the list is empty"),
            Some(first) if items.iter().all(|item| item == first) => Ok(Type::List(*first)),
            Some(_) => wrong(id, "a list holds values of one type"),
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Typed {
        if call.func_name == AMOUNT_IN {
            return self.amount_in(id, call);
        }
        let operands = call.target.as_deref().into_iter().chain(&call.args);
        let types = operands.map(|it| self.type_of(it)).collect::<Result<Vec<_>, _>>()?;
        if call.func_name == "matches" {
            self.pattern(id, call)?;
        }
        let is_method = call.target.is_some();
        result_of(&call.func_name, is_method, &types).map_or_else(
            || {
                let given: Vec<_> = types.iter().map(|it| it.name()).collect();
                wrong(id, no_overload(&call.func_name, &given))
            },
            Ok,
        )
    }

    /// `payment.amount_in("USD")`: whoever screens must know the currencies beforehand.
    fn amount_in(&mut self, id: u64, call: &CallExpr) -> Typed {
        let is_payments = call
            .target
            .as_ref()
            .is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == "payment"));
        let said = "write payment.amount_in(\"USD\"), with a currency's code in quotes";
        let [argument] = &call.args[..] else { return wrong(id, said) };
        let (true, Some(code)) = (is_payments, string_in(argument)) else {
            return wrong(id, said);
        };
        match Currency::from_code(code) {
            Some(currency) => {
                self.mentions.currencies.insert(currency);
                Ok(Type::Int)
            }
            None => wrong(argument.id, format!("{code:?} is no currency's code")),
        }
    }

    /// The pattern of `matches`, compiled now: it has to stand there in quotes.
    fn pattern(&mut self, id: u64, call: &CallExpr) -> Result<(), Wrong> {
        let Some(text) = call.args.last().and_then(string_in) else {
            return wrong(id, "matches takes a pattern in quotes");
        };
        let at = call.args.last().map_or(id, |argument| argument.id);
        if text.len() > PATTERN_BYTES {
            return wrong(at, format!("a pattern has {PATTERN_BYTES} bytes at most"));
        }
        let mut builder = RegexBuilder::new(text);
        let built = builder.size_limit(PATTERN_MEMORY).nest_limit(PATTERN_DEPTH).build();
        match built {
            Ok(regex) => {
                self.patterns.insert(text.to_owned(), regex);
                Ok(())
            }
            Err(regex::Error::CompiledTooBig(_)) => wrong(at, "the pattern is too large"),
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                wrong(at, format!("the pattern can't be read: {last}"))
            }
        }
    }
}

/// What an operator or a function gives for operands of these types; a method's target is first.
fn result_of(name: &str, is_method: bool, types: &[Type]) -> Option<Type> {
    use Type::{Bool, Double, Int, List, Map, Text};
    let found = match (name, types) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [Bool, Bool]) => Bool,
        (operators::LOGICAL_NOT, [Bool]) => Bool,
        (operators::CONDITIONAL, [Bool, then, other]) if then == other => *then,
        (operators::EQUALS | operators::NOT_EQUALS, [a, b]) if a.item()? == b.item()? => Bool,
        (
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS,
            [a, b],
        ) if a.item()? == b.item()? && a.item()? != Item::Bool => Bool,
        (
            operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE,
            [a @ (Int | Double), b],
        ) if a == b => *a,
        (operators::ADD, [Text, Text]) => Text,
        (operators::MODULO, [Int, Int]) => Int,
        (operators::NEGATE, [a @ (Int | Double)]) => *a,
        (operators::IN, [Text, Map]) => Bool,
        (operators::IN, [a, List(item)]) if a.item()? == *item => Bool,
        (operators::INDEX, [Map, Text]) => Text,
        ("startsWith" | "endsWith" | "contains" | "matches", [Text, Text]) if is_method => Bool,
        ("size", [Text | Map | List(_)]) => Int,
        ("int", [Text | Int | Double]) if !is_method => Int,
        ("double", [Text | Int | Double]) if !is_method => Double,
        _ => return None,
    };
    Some(found)
}

fn no_overload(name: &str, given: &[&str]) -> String {
    let plain: String = name.chars().filter(|c| !"_@".contains(*c)).collect();
    let plain = if name == operators::CONDITIONAL { "? :" } else { &plain };
    format!("{plain} can't be used here with {}", given.join(" and "))
}

fn literal_type(id: u64, literal: &LiteralValue) -> Typed {
    match literal {
        LiteralValue::Boolean(_) => Ok(Type::Bool),
        LiteralValue::Int(_) => Ok(Type::Int),
        LiteralValue::Double(_) => Ok(Type::Double),
        LiteralValue::String(_) => Ok(Type::Text),
        LiteralValue::UInt(_) => wrong(id, "write whole numbers without u"),
        LiteralValue::Bytes(_) | LiteralValue::Null => {
            wrong(id, "a rule knows strings, numbers and bools")
        }
    }
}

fn string_in(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// `a.b.c`, where it is only names.
fn qualified(select: &SelectExpr) -> Option<String> {
    let operand = match &select.operand.expr {
        Expr::Ident(name) => name.clone(),
        Expr::Select(inner) if !inner.test => qualified(inner)?,
        _ => return None,
    };
    Some(format!("{operand}.{}", select.field))
}

/// Whether it is the beginning of a name and not yet one.
fn is_of_names(expr: &Expr) -> bool {
    match expr {
        Expr::Ident(_) => true,
        Expr::Select(select) if !select.test => {
            let is_name = qualified(select)
                .is_some_and(|name| NAMES.iter().any(|(known, _)| **known == *name));
            !is_name && is_of_names(&select.operand.expr)
        }
        _ => false,
    }
}

/// The names that share most of the beginning are the ones meant.
fn unknown(name: &str) -> String {
    let root = name.split('.').next().unwrap_or_default();
    let of_root = |known: &&str| known.split('.').next() == Some(root);
    let known: Vec<_> = NAMES.iter().map(|(known, _)| *known).filter(of_root).collect();
    match known.is_empty() {
        true => format!("there is no {name}; there are payment, wallet, user and velocity"),
        false => format!("there is no {name}; there are {}", known.join(", ")),
    }
}
