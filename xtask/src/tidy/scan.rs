//! Tells Rust's code, comments and strings apart, and code from tests, without a parser.
//!
//! Good enough for rules of style: a parser would have to be kept level with the language, and
//! takes longer to compile than all of this program.

use std::ops::RangeInclusive;

pub struct Scan {
    /// The source with comments and the insides of literals blanked; lines and columns stay.
    pub code: String,
    pub strings: Vec<Literal>,
    pub functions: Vec<Function>,
    tests: Vec<RangeInclusive<usize>>,
}

pub struct Literal {
    pub line: usize,
    pub text: String,
}

pub struct Function {
    pub name: String,
    pub first_line: usize,
    pub lines: usize,
}

impl Scan {
    pub fn new(text: &str) -> Self {
        let mut mask = Mask { chars: text.chars().collect(), at: 0, line: 1, ..Mask::default() };
        mask.run();
        let code: Vec<char> = mask.code.chars().collect();
        Self {
            functions: functions(&code),
            tests: tests(&code),
            code: mask.code,
            strings: mask.strings,
        }
    }

    /// The code of each line, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub fn is_test_line(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }
}

#[derive(Default)]
struct Mask {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    strings: Vec<Literal>,
}

impl Mask {
    fn run(&mut self) {
        while let Some(next) = self.peek(0) {
            match (next, self.peek(1)) {
                ('/', Some('/')) => self.blank_while(|mask| mask.peek(0) != Some('\n')),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(None),
                ('\'', _) => self.quote(),
                ('r', Some('"' | '#')) if !self.inside_word() => self.raw_string(1),
                ('b' | 'c', Some('r')) if !self.inside_word() => self.raw_string(2),
                _ => self.keep(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn inside_word(&self) -> bool {
        self.at > 0 && is_word(self.chars[self.at - 1])
    }

    fn keep(&mut self) {
        let Some(next) = self.peek(0) else { return };
        self.code.push(next);
        self.line += usize::from(next == '\n');
        self.at += 1;
    }

    fn blank(&mut self) {
        let Some(next) = self.peek(0) else { return };
        self.code.push(if next == '\n' { '\n' } else { ' ' });
        self.line += usize::from(next == '\n');
        self.at += 1;
    }

    fn blank_while(&mut self, more: impl Fn(&Self) -> bool) {
        while self.peek(0).is_some() && more(self) {
            self.blank();
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            let step = match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => 1,
                (Some('*'), Some('/')) => -1,
                _ => 0,
            };
            depth += step;
            self.blank();
            if step != 0 {
                self.blank();
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A string from its opening quote on. A raw one knows how many `#` close it.
    fn string(&mut self, hashes: Option<usize>) {
        let line = self.line;
        self.keep();
        let start = self.at;
        while let Some(next) = self.peek(0) {
            let closes = next == '"'
                && hashes.is_none_or(|count| (1..=count).all(|n| self.peek(n) == Some('#')));
            if closes {
                break;
            }
            if next == '\\' && hashes.is_none() {
                self.blank();
            }
            self.blank();
        }
        let text = self.chars[start..self.at].iter().collect();
        self.strings.push(Literal { line, text });
        self.keep();
    }

    /// `r"…"`, `br#"…"#`; or a word such as `r#type` or `bracket`, which is kept.
    fn raw_string(&mut self, prefix: usize) {
        let hashes = (prefix..).take_while(|n| self.peek(*n) == Some('#')).count();
        if self.peek(prefix + hashes) != Some('"') {
            self.keep();
            return;
        }
        for _ in 0..prefix + hashes {
            self.keep();
        }
        self.string(Some(hashes));
    }

    /// A character such as `'{'` or `'\''`, or a lifetime such as `'a`, which is code.
    fn quote(&mut self) {
        let is_character = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.keep();
        if !is_character {
            return;
        }
        if self.peek(0) == Some('\\') {
            self.blank();
        }
        self.blank();
        self.blank_while(|mask| mask.peek(0) != Some('\''));
        self.keep();
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(code: &[char], at: usize) -> usize {
    1 + code[..at.min(code.len())].iter().filter(|c| **c == '\n').count()
}

fn starts_with(code: &[char], at: usize, word: &str) -> bool {
    word.chars().enumerate().all(|(n, c)| code.get(at + n) == Some(&c))
}

/// Where the item that begins at `at` ends: at its closing brace, or at its semicolon.
fn end_of_item(code: &[char], at: usize) -> Option<(usize, bool)> {
    // `[u8; 4]` in a signature holds a semicolon that ends nothing.
    let (mut brackets, mut braces) = (0, 0);
    for (index, c) in code.iter().enumerate().skip(at) {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                // Braces may stand inside brackets too: `call(|| { … })`.
                if braces == 0 && brackets == 0 {
                    return Some((index, true));
                }
            }
            ';' if braces == 0 && brackets == 0 => return Some((index, false)),
            _ => {}
        }
    }
    None
}

fn functions(code: &[char]) -> Vec<Function> {
    let mut found = Vec::new();
    for at in 0..code.len() {
        let is_keyword = starts_with(code, at, "fn ") && (at == 0 || !is_word(code[at - 1]));
        if !is_keyword {
            continue;
        }
        let name: String = code[at + 3..].iter().take_while(|c| is_word(**c)).collect();
        if name.is_empty() {
            continue;
        }
        if let Some((end, true)) = end_of_item(code, at) {
            let first_line = line_of(code, at);
            found.push(Function { name, first_line, lines: line_of(code, end) - first_line + 1 });
        }
    }
    found
}

/// The lines of items under `#[cfg(test)]`, `#[test]`, `#[tokio::test]` and the like.
fn tests(code: &[char]) -> Vec<RangeInclusive<usize>> {
    let mut found = Vec::new();
    for at in 0..code.len() {
        if !starts_with(code, at, "#[") {
            continue;
        }
        let Some(close) = end_of_attribute(code, at) else { continue };
        let attribute: String = code[at + 2..close].iter().collect();
        if !is_test_attribute(&attribute) {
            continue;
        }
        let mut item = close + 1;
        // Further attributes belong to the same item.
        loop {
            item += code[item..].iter().take_while(|c| c.is_whitespace()).count();
            match end_of_attribute(code, item) {
                Some(close) => item = close + 1,
                None => break,
            }
        }
        let end = end_of_item(code, item).map_or(code.len(), |(end, _)| end);
        found.push(line_of(code, at)..=line_of(code, end));
    }
    found
}

fn end_of_attribute(code: &[char], at: usize) -> Option<usize> {
    if !starts_with(code, at, "#[") {
        return None;
    }
    let mut depth = 0;
    for (index, c) in code.iter().enumerate().skip(at) {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

fn is_test_attribute(attribute: &str) -> bool {
    let attribute = attribute.trim();
    if let Some(condition) = attribute.strip_prefix("cfg(") {
        let words = condition.split(|c| !is_word(c));
        return words.clone().any(|word| word == "test") && !words.into_iter().any(|w| w == "not");
    }
    let name = attribute.split('(').next().unwrap_or_default().trim();
    name.rsplit("::").next() == Some("test") || name == "rstest"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked() {
        let code = |text| Scan::new(text).code;
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("{ \" }", x)"#), r#"f("      ", x)"#);
        assert_eq!(code("r#\"a\"b\"# + r#type"), "r#\"   \"# + r#type");
        assert_eq!(code("bracket(br\"{\")"), "bracket(br\" \")");
        assert_eq!(code(r"('{', '\'', '\u{7d}', &'a str)"), r"(' ', '  ', '      ', &'a str)");
    }

    #[test]
    fn strings_are_kept_with_their_lines() {
        let scan = Scan::new("x;\nf(\"one\", r\"two\\\", \"a\nb\")");
        let found: Vec<_> = scan.strings.iter().map(|s| (s.line, s.text.as_str())).collect();
        assert_eq!(found, [(2, "one"), (2, "two\\"), (2, "a\nb")]);
    }

    #[test]
    fn functions_are_measured_by_their_braces() {
        let text = "fn a(x: [u8; 2]) -> fn() {\n  let b = '}'; // }\n}\ntrait T { fn c(&self); }\n\
                    impl T { fn d() { f(|| { \"{\" }) } }";
        let found = Scan::new(text).functions;
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.lines)).collect();
        assert_eq!(found, [("a", 3), ("d", 1)]);
    }

    #[test]
    fn tests_are_told_from_code() {
        let text = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n\
                    #[tokio::test(start = 1)]\nasync fn d() {\n}\n#[cfg(not(test))]\nfn e() {}";
        let scan = Scan::new(text);
        let found: Vec<usize> = (1..=12).filter(|line| scan.is_test_line(*line)).collect();
        assert_eq!(found, [2, 3, 4, 5, 6, 8, 9, 10]);
    }
}
