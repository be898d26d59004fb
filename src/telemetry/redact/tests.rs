//! Redaction beside a search that is so simple that it can be seen to be right.

use std::sync::Arc;

use proptest::prelude::*;

use super::{MARK, Patterns, Redactor, SHORTEST, Scanner, variants};
use crate::effect::processes::Stream;

/// What happens to a scanner.
#[derive(Clone, Debug)]
enum Deed {
    Write(Stream, Vec<u8>),
    Add(Vec<u8>),
}

/// Both streams as they are released.
fn redacted(deeds: &[Deed]) -> [Vec<u8>; 2] {
    let redactor = Arc::new(Redactor::default());
    let mut scanner = Scanner::new(Arc::clone(&redactor));
    let mut out = [Vec::new(), Vec::new()];
    let mut keep = |released: super::Released<'_>| out[released.stream.index()].extend_from_slice(released.bytes);
    for deed in deeds {
        match deed {
            Deed::Write(stream, bytes) => scanner.push(*stream, bytes, 0, &mut keep),
            Deed::Add(secret) => redactor.add([secret]),
        }
    }
    scanner.finish(&mut keep);
    out
}

/// Everything that was ever printed, and what is known of it.
#[derive(Default)]
struct Naive {
    forms: Vec<Vec<u8>>,
    /// Forms of which those above were not told yet: they are taken at the next write.
    added: bool,
    /// In the order of writes: the stream, the byte, whether it is secret, whether it was released.
    bytes: Vec<(Stream, u8, bool, bool)>,
    /// Where bytes begin that count for secrets, for each stream and for both.
    from: [usize; 3],
}

impl Naive {
    /// The places of bytes, in order: of one stream, or of both.
    fn places(&self, way: usize) -> Vec<usize> {
        let counts = |index: &usize| way == 2 || self.bytes[*index].0.index() == way;
        (self.from[way]..self.bytes.len()).filter(counts).collect()
    }

    fn text(&self, places: &[usize]) -> Vec<u8> {
        places.iter().map(|place| self.bytes[*place].1).collect()
    }

    fn mark(&mut self, places: &[usize]) {
        let text = self.text(places);
        for form in self.forms.clone() {
            for start in 0..text.len() {
                if text[start..].starts_with(&form) {
                    places[start..start + form.len()].iter().for_each(|place| self.bytes[*place].2 = true);
                }
            }
        }
    }

    /// How many of the last bytes may begin a secret that goes on.
    fn held(&self, way: usize) -> Vec<usize> {
        let places = self.places(way);
        let text = self.text(&places);
        let begins = |tail: &[u8]| self.forms.iter().any(|form| form.len() > tail.len() && form.starts_with(tail));
        let count = (0..=text.len()).rev().find(|count| *count == 0 || begins(&text[text.len() - count..])).unwrap();
        places[places.len() - count..].to_vec()
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if std::mem::take(&mut self.added) {
            self.start_over();
        }
        self.bytes.extend(bytes.iter().map(|byte| (stream, *byte, false, false)));
        for way in 0..3 {
            self.mark(&self.places(way));
        }
        let held: Vec<Vec<usize>> = (0..3).map(|way| self.held(way)).collect();
        for stream in [0, 1] {
            let first = held[stream].first().into_iter().chain(held[2].first()).min().copied();
            for index in 0..first.unwrap_or(self.bytes.len()) {
                if self.bytes[index].0.index() == stream {
                    self.bytes[index].3 = true;
                }
            }
        }
    }

    /// What was released counts no more.
    fn start_over(&mut self) {
        let held = |way: usize| {
            let counts = |byte: &(Stream, u8, bool, bool)| !byte.3 && (way == 2 || byte.0.index() == way);
            (0..self.bytes.len()).filter(|index| counts(&self.bytes[*index])).collect::<Vec<_>>()
        };
        let own = [held(0), held(1)];
        let both = held(2);
        // Only neighbours are a text together.
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for place in both {
            match rows.last_mut() {
                Some(row) if row.last() == Some(&(place - 1)) => row.push(place),
                _ => rows.push(vec![place]),
            }
        }
        let end = self.bytes.len();
        let last = rows.last().filter(|row| row.last() == Some(&(end - 1)));
        self.from = [
            own[0].first().copied().unwrap_or(end),
            own[1].first().copied().unwrap_or(end),
            last.map_or(end, |row| row[0]),
        ];
        for row in &rows {
            self.mark(row);
        }
    }

    fn redacted(deeds: &[Deed]) -> [Vec<u8>; 2] {
        let mut naive = Self::default();
        for deed in deeds {
            match deed {
                Deed::Write(stream, bytes) => naive.write(*stream, bytes),
                Deed::Add(secret) => {
                    let secret = secret.trim_ascii().to_vec();
                    if secret.len() >= SHORTEST && !naive.forms.contains(&secret) {
                        naive.forms.extend(variants::in_order(&secret));
                        naive.forms.push(secret);
                        naive.added = true;
                    }
                }
            }
        }
        [Stream::Stdout, Stream::Stderr].map(|stream| {
            let mut out = Vec::new();
            let mut in_secret = false;
            for (_, byte, is_secret, _) in naive.bytes.iter().filter(|(of, ..)| *of == stream) {
                match (is_secret, in_secret) {
                    (false, _) => out.push(*byte),
                    (true, false) => out.extend_from_slice(MARK),
                    (true, true) => {}
                }
                in_secret = *is_secret;
            }
            out
        })
    }
}

/// Texts of few letters, so that they overlap and begin alike.
fn letters(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![8 => Just(b'a'), 4 => Just(b'b'), 1 => Just(b'/'), 1 => Just(b'\n')], length)
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let write = (stream, letters(0..20)).prop_map(|(stream, bytes)| Deed::Write(stream, bytes));
    let deed = prop_oneof![6 => write, 1 => letters(5..12).prop_map(Deed::Add)];
    (proptest::collection::vec(letters(5..12), 0..4), proptest::collection::vec(deed, 0..40))
        .prop_map(|(secrets, deeds)| secrets.into_iter().map(Deed::Add).chain(deeds).collect())
}

/// A target of `make fuzz`.
mod fuzz {
    use super::*;

    #[test]
    fn r35_what_is_released_is_what_a_simple_search_leaves() {
        crate::fuzz::property(256, &deeds(), |deeds| {
            prop_assert_eq!(redacted(&deeds), Naive::redacted(&deeds));
            Ok(())
        });
    }

    /// Long secrets have signs of several bytes, and such that every encoding writes in its own way, where pieces may end.
    #[test]
    fn r35_of_long_secrets_every_form_is_found_whole_as_a_simple_search_finds_it() {
        let signs = vec!["a", "7", "ü", "€", "😀", "\"", "\n", "/", "<", "\u{1}"];
        let around = proptest::collection::vec(proptest::sample::select(signs), 1..24);
        let secrets = ("[a-z0-9]{8}", 4060_usize..4100, around, 0_usize..1200);
        crate::fuzz::property(2, &secrets, |(letters, before, around, after)| {
            let plain = letters.repeat(600);
            let secret = [&plain[..before], &around.concat(), &plain[..after], "."].concat().into_bytes();
            let redactor = Arc::new(Redactor::default());
            let (found, gap) = super::super::forms(&[secret.clone()].into(), usize::MAX);
            prop_assert_eq!(gap, None);
            *redactor.patterns.write().unwrap() = Arc::new(Patterns::new(&found));
            let mut all: Vec<Vec<u8>> =
                variants::in_order(&secret).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            all.push(secret);
            let text = all.join(&b"\x02"[..]);
            let mut is_secret = vec![false; text.len()];
            for form in &all {
                for start in memchr::memmem::find_iter(&text, form) {
                    is_secret[start..start + form.len()].fill(true);
                }
            }
            let mut left = Vec::new();
            super::super::scanner::replace(&text, Some(&is_secret), &mut false, |bytes| left.extend_from_slice(bytes));
            let redacted = redactor.whole(&text);
            prop_assert!(redacted == left, "{}", String::from_utf8_lossy(&redacted));
            Ok(())
        });
    }
}

#[test]
fn r35_a_sign_of_several_bytes_where_a_piece_ends_is_no_gap_in_other_forms() {
    let plain = "0123456789abcde\n".repeat(600);
    for at in 4090..4100 {
        let secret = format!("{}ü{}.", &plain[..at], &plain[at..8000]);
        let json = serde_json::to_string(&format!("\t{secret}\t")).unwrap();
        let redacted = String::from_utf8(redacted(&[Deed::Add(secret.into()), write(&json)])[0].clone()).unwrap();
        assert_eq!(redacted, r#""\t[REDACTED]\t""#, "{at}");
    }
}

fn write(bytes: &str) -> Deed {
    Deed::Write(Stream::Stdout, bytes.into())
}

fn out(secrets: &[&str], writes: &[&str]) -> String {
    let secrets = secrets.iter().map(|secret| Deed::Add((*secret).into()));
    let deeds: Vec<Deed> = secrets.chain(writes.iter().map(|bytes| write(bytes))).collect();
    String::from_utf8(redacted(&deeds)[0].clone()).unwrap()
}

#[test]
fn r35_overlapping_secrets_are_one_mark_and_leave_nothing() {
    assert_eq!(out(&["abcdef", "defghi"], &["xabcdefghiy"]), "x[REDACTED]y");
    assert_eq!(out(&["abcdef", "abcdefghi"], &["abcdefgh."]), "[REDACTED]gh.");
    assert_eq!(out(&["bcdefg", "abcdefgh"], &["abcdefg."]), "a[REDACTED].");
    assert_eq!(out(&["hunter2"], &["hunter2hunter2 hunter2"]), "[REDACTED] [REDACTED]");
}

#[test]
fn r35_a_secret_one_byte_a_write_is_found() {
    let text = "say hunter2 now";
    let writes: Vec<&str> = (0..text.len()).map(|index| &text[index..=index]).collect();
    assert_eq!(out(&["hunter2"], &writes), "say [REDACTED] now");
}

#[test]
fn r35_a_secret_half_on_each_stream_is_found() {
    let deeds = [
        Deed::Add("hunter2".into()),
        write("a hun"),
        Deed::Write(Stream::Stderr, "ter2 b".into()),
        write(" c hunt"),
        Deed::Write(Stream::Stderr, "\nlog\n".into()),
        write("er2."),
    ];
    let [stdout, stderr] = redacted(&deeds).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((stdout.as_str(), stderr.as_str()), ("a [REDACTED] c [REDACTED].", "[REDACTED] b\nlog\n"));
}

#[test]
fn r35_short_texts_and_blanks_are_no_secrets() {
    assert_eq!(out(&["abc", "     abc  ", "         "], &["abc          "]), "abc          ");
    assert_eq!(out(&["  abcdef\n"], &["abcdef "]), "[REDACTED] ");
}

#[test]
fn r35_secrets_that_are_added_later_count_from_then_on() {
    let deeds = [write("hunter2 hun"), Deed::Add("hunter2".into()), write("ter2 hunter2")];
    assert_eq!(redacted(&deeds)[0], b"hunter2 hunter2 [REDACTED]");
    let deeds = [Deed::Add("hunters".into()), write("hun"), Deed::Add("hunter2".into()), write("ter2.")];
    assert_eq!(redacted(&deeds)[0], b"[REDACTED].", "what is still held");
}

#[test]
fn what_can_begin_no_secret_is_not_held() {
    let redactor = Arc::new(Redactor::default());
    redactor.add(["hunter2"]);
    let mut scanner = Scanner::new(redactor);
    let mut shown = |bytes: &str| {
        let mut out = Vec::new();
        scanner.push(Stream::Stdout, bytes.as_bytes(), 0, &mut |released| out.extend_from_slice(released.bytes));
        String::from_utf8(out).unwrap()
    };
    assert_eq!(shown("50%\r"), "50%\r");
    assert_eq!(shown("who: hun"), "who: ");
    assert_eq!(shown("t"), "");
    assert_eq!(shown("ing"), "hunting");
    assert_eq!(shown("password: hunter2"), "password: [REDACTED]", "the last byte ends it");
}

#[test]
fn r35_encoded_forms_are_found() {
    let secret = "p\"a/s s<wörd>?'+=~*";
    let json = serde_json::to_string(&format!("x{secret}y")).unwrap();
    let forms = [
        json.clone(),
        json.replace('/', "\\/"),
        // Python, PHP, Go, Java's Gson, .NET.
        r#""xp\"a/s s<w\u00f6rd>?'+=~*y""#.to_owned(),
        r#""xp\"a\/s s<w\u00f6rd>?'+=~*y""#.to_owned(),
        r#""xp\"a/s s\u003cwörd\u003e?'+=~*y""#.to_owned(),
        r#""xp\"a/s s\u003cwörd\u003e?\u0027+\u003d~*y""#.to_owned(),
        r#""xp\u0022a/s s\u003Cw\u00F6rd\u003E?\u0027\u002B=~*y""#.to_owned(),
        "xp%22a%2Fs%20s%3Cw%C3%B6rd%3E%3F%27%2B%3D~%2Ay".to_owned(),
        "xp%22a%2fs%20s%3cw%c3%b6rd%3e%3f%27%2b%3d~%2ay".to_owned(),
        "xp%22a/s%20s%3Cw%C3%B6rd%3E%3F%27%2B%3D~%2Ay".to_owned(),
        "xp%22a%2Fs%20s%3Cw%C3%B6rd%3E%3F'%2B%3D~*y".to_owned(),
        // Forms of HTML, Python and Go, PHP.
        "xp%22a%2Fs+s%3Cw%C3%B6rd%3E%3F%27%2B%3D%7E*y".to_owned(),
        "xp%22a%2Fs+s%3Cw%C3%B6rd%3E%3F%27%2B%3D~%2Ay".to_owned(),
        "xp%22a%2Fs+s%3Cw%C3%B6rd%3E%3F%27%2B%3D%7E%2Ay".to_owned(),
    ];
    for form in forms {
        let left = out(&[secret], &[&form]);
        let [before, after] = left.split("[REDACTED]").collect::<Vec<_>>()[..] else { panic!("{form}: {left}") };
        assert!(before.trim_start_matches('"') == "x" && after.trim_end_matches('"') == "y", "{form}: {left}");
    }
}

#[test]
fn r35_base64_is_found_wherever_the_secret_stands_in_what_was_encoded() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let secret = "s3cr?et~val>ue";
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        for before in ["", "u", "us", "user:", "user1:"] {
            for after in ["", "1", "12", "123", "\n"] {
                let encoded = engine.encode(format!("{before}{secret}{after}"));
                let left = out(&[secret], &[&encoded]);
                // At most the digits of neighbours that share bits with the secret stay.
                let around = engine.encode(before).len() + engine.encode(after).len() + 2;
                assert!(left.contains("[REDACTED]"), "{encoded}");
                assert!(left.len() - "[REDACTED]".len() <= around, "{encoded}: {left}");
            }
        }
    }
}

#[test]
fn many_long_secrets_are_found_too_and_what_is_left_out_is_known() {
    let secret = |number: usize| format!("{number:04}{}", "0123456789abcdef/".repeat(300));
    let redactor = Arc::new(Redactor::default());
    redactor.add((0..50).map(secret));
    let warning = redactor.take_warning().unwrap();
    assert!(warning.ends_with("all their encoded forms") && redactor.take_warning().is_none(), "{warning}");
    for number in [0, 49] {
        assert_eq!(redactor.whole(format!("x{}y", secret(number)).as_bytes()), b"x[REDACTED]y");
    }
    let few = Arc::new(Redactor::default());
    few.add([secret(1)]);
    assert_eq!(few.take_warning(), None);
}

#[test]
fn of_too_many_secrets_the_shortest_are_looked_for_and_in_all_forms_if_there_is_room() {
    let secrets = ["short&1", "longer&22", "the longest&333"].map(|secret| secret.as_bytes().to_vec());
    let known = secrets.iter().cloned().collect();
    let found = |most| {
        let (forms, gap) = super::forms(&known, most);
        (secrets.clone().map(|secret| forms.contains(&secret)), forms.contains(&b"short%261"[..]), gap.is_some())
    };
    assert_eq!(found(4000), ([true; 3], true, false));
    assert_eq!(found(400), ([true; 3], true, true));
    assert_eq!(found(31), ([true; 3], false, true));
    assert_eq!(found(20), ([true, true, false], false, true));
}

#[test]
fn what_is_not_looked_for_is_told_once_in_one_sentence() {
    let redactor = Redactor::default();
    redactor.lack("a file is not read");
    redactor.add((0..200_u32).map(|number| format!("{number:08}{}", "x".repeat(3000))));
    redactor.lack("a file is not read");
    let warning = redactor.take_warning().unwrap();
    assert!(warning.ends_with(": a file is not read; there are too many to look for all of them"), "{warning}");
    redactor.add(["a-last-one"]);
    assert_eq!(redactor.take_warning(), None);
}

#[test]
fn r35_forms_of_shells_html_and_hex_are_found() {
    let secret = "it's $5 & \"more\"; a+b=<c>\\";
    for form in [
        // `set -x` of bash, dash and Python's shlex; in double quotes; `printf %q`; `$'...'` and Python's repr.
        r#"it'\''s $5 & "more"; a+b=<c>\"#,
        r#"it'"'"'s $5 & "more"; a+b=<c>\"#,
        r#"it's \$5 & \"more\"; a+b=<c>\\"#,
        r#"it\'s\ \$5\ \&\ \"more\"\;\ a+b=\<c\>\\"#,
        r#"it\'s $5 & "more"; a+b=<c>\\"#,
        "it's $5 &amp; &quot;more&quot;; a+b=&lt;c&gt;\\",
        "it&#39;s $5 &amp; &#34;more&#34;; a+b=&lt;c&gt;\\",
        "it&#39;s $5 &amp; &#34;more&#34;; a&#43;b=&lt;c&gt;\\",
        "it&#x27;s $5 &amp; &quot;more&quot;; a+b=&lt;c&gt;\\",
        "it&#039;s $5 &amp; &quot;more&quot;; a+b=&lt;c&gt;\\",
        "it&apos;s $5 &amp; &quot;more&quot;; a+b=&lt;c&gt;\\",
        "69742773202435202620226d6f7265223b20612b623d3c633e5c",
        "69742773202435202620226D6F7265223B20612B623D3C633E5C",
    ] {
        assert_eq!(out(&[secret], &[&format!("x {form} y")]), "x [REDACTED] y", "{form}");
    }
}

#[test]
fn r35_a_secret_in_lines_of_base64_is_found() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let secret = (0..40).map(|number| (number * 7919 % 4099).to_string()).collect::<Vec<_>>().concat();
    for (after, width) in [("", 76), ("\n", 76), ("", 64)] {
        let encoded = STANDARD.encode(format!("{secret}{after}"));
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        assert!(lines.len() > 1);
        let left = out(&[&secret], &[&lines.join("\n")]);
        let rest = left.replace("[REDACTED]", "").replace('\n', "");
        assert!(left.matches("[REDACTED]").count() + 1 >= lines.len() && rest.len() <= 4, "{left}");
    }
}
