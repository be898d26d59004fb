//! What Dockerfiles are read as, and what is said of those that are none.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::dockerfile::{Argument, CommandLine, Pair, Source, Transfer};

fn commands(text: &str) -> Vec<Command> {
    parse(text).unwrap().instructions.into_iter().map(|instruction| instruction.command).collect()
}

/// The only command behind `FROM`.
fn command(text: &str) -> Command {
    let mut commands = commands(&format!("FROM x\n{text}"));
    assert_eq!(commands.len(), 2, "{commands:?}");
    commands.remove(1)
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().0
}

/// The error about the line behind `FROM`.
fn refusal(text: &str) -> String {
    let error = error(&format!("FROM x\n{text}\n"));
    error.strip_prefix("dockerfile parse error on line 2: ").unwrap_or(&error).to_owned()
}

fn shell(text: &str) -> CommandLine {
    CommandLine::Shell(text.to_owned())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn reads_preamble_and_stages_with_their_lines() {
    let text = "\u{feff}\n# comment\nARG base_image=0\nFROM ${base_image}\r\n  run  make  it\n\nFROM --platform=linux a AS B\nUSER 0";
    let file = parse(text).unwrap();
    assert_eq!(file.preamble().len(), 1);
    let stages: Vec<_> = file.stages().map(|(image, instructions)| (image, instructions.len())).collect();
    assert_eq!(stages, [("${base_image}", 1), ("a", 1)]);
    let lines: Vec<_> = file.instructions.iter().map(|instruction| instruction.line).collect();
    assert_eq!(lines, [3, 4, 5, 7, 8]);
    assert_eq!(file.instructions[2].command, Command::Run(shell("make  it")));
    let from = &file.instructions[3];
    assert_eq!(from.command, Command::From { image: "a".into(), stage: Some("b".into()) });
    assert_eq!((from.flags[0].name.as_str(), from.flags[0].value.as_deref()), ("platform", Some("linux")));
}

#[test]
fn joins_continued_lines_and_leaves_comments_and_empty_lines_out() {
    let text = "FROM x\nRUN a \\\n  # not this\n\n   b \\  \n c\\\\\nUSER u \\";
    let file = parse(text).unwrap();
    assert_eq!(file.instructions[1].text, "RUN a    b  c\\\\");
    assert_eq!(file.instructions[2].command, Command::User("u".into()));
    assert_eq!(file.instructions[2].line, 7);
    assert_eq!(error("\\\n"), "dockerfile parse error on line 1: unknown instruction: ");
}

#[test]
fn directives_choose_the_escape_character() {
    let text = "# syntax=docker/dockerfile:1\n# Escape = `\nFROM x\nRUN a `\n b\\\nUSER c";
    let file = parse(text).unwrap();
    assert_eq!(file.escape, '`');
    assert_eq!(file.instructions[1].text, "RUN a  b\\");
    assert_eq!(parse("# a comment\n# escape=`\nFROM x").unwrap().escape, '\\');
    assert_eq!(
        error("# escape=x\nFROM y"),
        "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\"
    );
    assert_eq!(
        error("# escape=`\n# escape=`\nFROM y"),
        "dockerfile parse error on line 2: only one escape parser directive can be used"
    );
}

#[test]
fn reads_heredocs_with_their_bodies() {
    let text = "FROM x\nRUN <<EOF cat; <<-'A B' cat\n a\\\n# kept\nEOF\n\tb\n\tA B\nCOPY <<one <<two /x/\n1\none\n2\ntwo\nUSER u";
    let file = parse(text).unwrap();
    let run = &file.instructions[1];
    assert_eq!(run.command, Command::Run(shell("<<EOF cat; <<-'A B' cat")));
    let heredocs: Vec<_> =
        run.heredocs.iter().map(|h| (h.name.as_str(), h.expand, h.strip_tabs, h.body.as_str())).collect();
    assert_eq!(heredocs, [("EOF", true, false, " a\\\n# kept\n"), ("A B", false, true, "\tb\n")]);
    let copy = &file.instructions[2];
    let sources = vec![Source::Heredoc("one".into()), Source::Heredoc("two".into())];
    assert_eq!(copy.command, Command::Copy(Transfer { sources, destination: "/x/".into() }));
    assert_eq!(copy.heredocs[1].body, "2\n");
    assert_eq!(file.instructions[3].line, 13);
}

#[test]
fn not_everything_that_looks_so_is_a_heredoc() {
    for text in ["RUN [\"cat\", \"<<EOF\"]", "RUN cat <<<EOF", "RUN echo it's <<EOF", "ENV a=<<EOF", "RUN echo '<<EOF'"]
    {
        assert_eq!(parse(&format!("FROM x\n{text}\nUSER u")).unwrap().instructions.len(), 3, "{text}");
    }
    assert_eq!(refusal("RUN cat << EOF\nx"), "unterminated heredoc");
    assert_eq!(refusal("ONBUILD RUN <<EOF\nx"), "unterminated heredoc");
    assert_eq!(refusal("COPY a <<EOF\nEOF"), "COPY cannot accept a heredoc as a destination");
}

#[test]
fn reads_command_lines_in_both_forms() {
    assert_eq!(command("RUN [\"a\", \"b c\"]"), Command::Run(CommandLine::Exec(texts(&["a", "b c"]))));
    assert_eq!(command("CMD ['a']"), Command::Cmd(shell("['a']")));
    assert_eq!(command("ENTRYPOINT"), Command::Entrypoint(shell("")));
    assert_eq!(command("SHELL [\"/bin/sh\"]"), Command::Shell(texts(&["/bin/sh"])));
    assert_eq!(refusal("RUN [1]"), "when using JSON array syntax, arrays must be comprised of strings only");
    assert_eq!(refusal("SHELL sh"), "SHELL requires the arguments to be in JSON form");
    assert_eq!(refusal("SHELL []"), "SHELL requires at least one argument");
}

#[test]
fn reads_arguments_and_variables() {
    let argument = |name: &str, default: Option<&str>| Argument { name: name.into(), default: default.map(Into::into) };
    assert_eq!(
        command("ARG a b=1 c='x y'"),
        Command::Arg(vec![argument("a", None), argument("b", Some("1")), argument("c", Some("'x y'"))])
    );
    let pair = |key: &str, value: &str| Pair { key: key.into(), value: value.into() };
    assert_eq!(command("ENV a=b c=\"d \\\" e\""), Command::Env(vec![pair("a", "b"), pair("c", "\"d \\\" e\"")]));
    assert_eq!(command("LABEL key  some value"), Command::Label(vec![pair("key", "some value")]));
    assert_eq!(refusal("ENV a"), "ENV must have two arguments");
    assert_eq!(refusal("ENV a=b c"), "Syntax error - can't find = in \"c\". Must be of the form: name=value");
    assert_eq!(refusal("ARG =x"), "ARG names can not be blank");
    assert_eq!(refusal("LABEL"), "LABEL requires at least one argument");
}

#[test]
fn reads_the_rest() {
    assert_eq!(command("EXPOSE 80/tcp 10"), Command::Expose(texts(&["10", "80/tcp"])));
    assert_eq!(command("VOLUME [\"/a b\"]"), Command::Volume(texts(&["/a b"])));
    assert_eq!(command("STOPSIGNAL SIGKILL"), Command::StopSignal("SIGKILL".into()));
    assert_eq!(command("MAINTAINER a b"), Command::Maintainer("a b".into()));
    assert_eq!(command("ONBUILD RUN x"), Command::Onbuild("RUN x".into()));
    assert_eq!(command("WORKDIR /a b"), Command::Workdir("/a b".into()));
    let Command::Healthcheck(check) = command("HEALTHCHECK --interval=1m30.5s --retries=3 CMD [\"a\"]") else {
        panic!("no health check")
    };
    assert_eq!(check.test, Some(CommandLine::Exec(texts(&["a"]))));
    assert_eq!((check.interval, check.retries), (Some(Duration::from_millis(90_500)), Some(3)));
    for (text, reason) in [
        ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
        ("USER", "USER requires exactly one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK x", "Unknown type \"X\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --timeout=1us CMD x", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=1 CMD x", "time: invalid duration \"1\""),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
    ] {
        assert_eq!(refusal(text), reason, "{text}");
    }
}

#[test]
fn checks_flags() {
    for (text, reason) in [
        ("COPY --form=x a b", "unknown flag: --form (did you mean from?)"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe"),
        ("COPY --from=a --from=b a b", "duplicate flag specified: --from"),
        ("ENV --x a=b", "unknown flag: --x"),
        ("RUN --network=x y", "invalid network mode \"x\""),
        ("RUN --mount=from=$a,target=/x y", "'from' doesn't support variable expansion, define alias stage instead"),
    ] {
        assert_eq!(refusal(text), reason, "{text}");
    }
    let file = parse("FROM x\nADD --chown=\"a b\" --exclude=1 --exclude=2 --link -- --a /b").unwrap();
    let flags: Vec<_> =
        file.instructions[1].flags.iter().map(|flag| (flag.name.as_str(), flag.value.as_deref())).collect();
    assert_eq!(flags, [("chown", Some("a b")), ("exclude", Some("1")), ("exclude", Some("2")), ("link", None)]);
    let transfer = Transfer { sources: vec![Source::Path("--a".into())], destination: "/b".into() };
    assert_eq!(file.instructions[1].command, Command::Add(transfer));
}

#[test]
fn refuses_what_is_no_dockerfile() {
    for text in ["", "\n\n", "# comment\n# another"] {
        assert_eq!(error(text), "file with no instructions", "{text:?}");
    }
    for (text, reason) in [
        ("SOME-INVALID-CONTENT", "line 1: unknown instruction: SOME-INVALID-CONTENT"),
        ("FROM x\n\nRUM x", "line 3: unknown instruction: RUM (did you mean RUN?)"),
        ("FROM x\nusr x", "line 2: unknown instruction: usr (did you mean user?)"),
        ("ARG a\nRUN x\nFROM y", "line 2: no build stage in current context"),
        ("FROM", "line 1: FROM requires either one or three arguments"),
        ("FROM a b", "line 1: FROM requires either one or three arguments"),
        (
            "FROM a AS 1b",
            "line 1: invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
    ] {
        assert_eq!(error(text), format!("dockerfile parse error on {reason}"), "{text}");
    }
}

#[test]
fn long_texts_take_no_long_time() {
    let onbuild = format!("FROM x\n{}", "ONBUILD ".repeat(100_000));
    assert!(parse(&onbuild).is_err());
    assert!(parse(&format!("FROM x\nRUN {}", "[".repeat(1_000_000))).is_ok());
    assert!(parse(&"X".repeat(1_000_000)).is_err());
    assert!(parse(&format!("FROM x\nRUN {}", "<<".repeat(100_000))).is_ok());
    assert!(parse(&format!("FROM x\nRUN a{}", " \\\n b".repeat(100_000))).is_ok());
}

/// What lines of Dockerfiles are made of.
const PIECES: &[&str] = &[
    "FROM x\n",
    "ARG a=",
    "RUN ",
    "COPY ",
    "ENV ",
    "HEALTHCHECK ",
    "ONBUILD ",
    "--interval=1",
    "--mount=from=$",
    "<<E",
    "<<-",
    "'",
    "\"",
    "\\",
    "`",
    "\\\n",
    "\n",
    "# escape=`\n",
    "#",
    "${",
    "}",
    "$",
    "[\"",
    "]",
    "=",
    " ",
    "\t",
    "E\n",
    "1h1.5s",
    "\u{b5}s",
    "\r\n",
];

mod fuzz {
    use super::*;
    use crate::fuzz::property;

    #[test]
    fn no_text_makes_it_panic() {
        property(2_000, &(any::<String>(), vec(select(PIECES), 0..24)), |(any, pieces)| {
            let _ = parse(&any);
            let _ = parse(&format!("FROM x\n{any}"));
            let _ = parse(&pieces.concat());
            let _ = parse(&format!("FROM x\n{}", pieces.concat()));
            Ok(())
        });
    }

    #[test]
    fn instructions_come_in_order_and_within_the_file() {
        property(2_000, &vec(select(PIECES), 0..24), |pieces| {
            let text = format!("FROM x\n{}", pieces.concat());
            if let Ok(file) = parse(&text) {
                let lines: Vec<_> = file.instructions.iter().map(|instruction| instruction.line).collect();
                prop_assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{lines:?}");
                prop_assert!(lines.iter().all(|line| *line <= text.lines().count()), "{lines:?}");
            }
            Ok(())
        });
    }
}
