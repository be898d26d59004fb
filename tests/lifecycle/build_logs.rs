//! Build output as log records, from outside: what a collector gets, what a terminal shows, and what is off when it is
//! off. Telemetry R30 to R37.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::support::{APP_IMAGE, Answer, Collector, Outcome, Payload, Record, World, attribute};

/// A world with a buildpack whose programs do this.
fn world(detect: &str, build: &str) -> World {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", detect, build);
    world.order(&[&["test/one"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world
}

type Variables<'a> = Vec<(&'a str, Option<&'a str>)>;

/// Build logs on, to an endpoint. However slow this machine is, all is to come.
fn on(endpoint: &str) -> Variables<'_> {
    vec![
        ("CNB_BUILD_LOGS_OTLP", Some("true")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint)),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("60s")),
    ]
}

/// Runs the builder with build logs on; gives what it said and what the collector got.
fn built(world: &World, args: &[&str], more: &[(&str, Option<&str>)]) -> (Outcome, Vec<Record>) {
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let outcome = world.run_with("builder", args, &[&on(&endpoint)[..], more].concat());
    (outcome, collector.records())
}

/// The lines that programs printed.
fn printed(records: &[Record]) -> Vec<&str> {
    records.iter().filter(|record| record.attribute("log.iostream").is_some()).map(Record::body).collect()
}

#[test]
fn r30_off_means_that_programs_have_the_output_of_the_phase() {
    let script = "for of in self $PPID; do readlink /proc/$of/fd/1; done; readlink /proc/self/fd/2; \
                  grep Threads /proc/$PPID/status; ls \"$TMPDIR\" | grep -c spool";
    let world = world("exit 0", &format!("export TMPDIR={}\n{script}\ntrue", "$PWD/../tmp"));
    let colours = [("CNB_NO_COLOR", None)];
    let off = world.run_with("builder", &[], &colours).exits(0);
    let of_program = |line: &&str| !line.starts_with("target distro");
    let lines: Vec<&str> = off.stdout.lines().filter(of_program).collect();
    assert!(lines[0] == lines[1] && lines[1] == lines[2], "{lines:?}");
    assert_eq!(lines[4], "0");
    let (on, _) = built(&world, &[], &colours);
    let on = on.exits(0);
    let on: Vec<&str> = on.stdout.lines().filter(of_program).collect();
    assert!(on[0] != on[1] && on[0] != on[2], "else this test would see nothing: {on:?}");
    assert_ne!(on[3], lines[3]);
    assert_eq!(on[4], "1");
}

#[test]
fn r31_a_terminal_gets_the_same_bytes() {
    let print = "printf '\\033[31mred\\033[0m 50%%\\r100%%\\nhalf \\303'; sleep 0.1; printf '\\274 \\377\\000\\n\\n  x'; \
                 i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i+1)); done; printf 'no end'";
    // Between the two, nobody can tell the order.
    for to in ["1", "2"] {
        let world = world("exit 0", &format!("{{ {print}; }} >&{to}"));
        for colours in [None, Some("true")] {
            let colours = [("CNB_NO_COLOR", colours)];
            let without = world.run_with("builder", &[], &colours).exits(0).stdout.clone();
            let (with, records) = built(&world, &[], &colours);
            assert_eq!(with.stdout, without);
            assert_eq!(printed(&records).len(), 2004);
        }
    }
}

#[test]
fn r32_every_line_arrives_once_in_order() {
    let world = world("exit 0", "seq 1 50000; seq 1 1000 >&2");
    let (outcome, records) = built(&world, &[], &[]);
    outcome.exits(0).done();
    let of = |stream: &str| {
        let of_stream = records.iter().filter(|record| record.attribute("log.iostream").as_deref() == Some(stream));
        of_stream.map(|record| record.body().to_owned()).collect::<Vec<_>>()
    };
    let numbers = |last: u32| (1..=last).map(|number| number.to_string()).collect::<Vec<_>>();
    assert!(of("stdout") == numbers(50_000) && of("stderr") == numbers(1000));
    let uids: BTreeSet<_> = records.iter().map(|record| record.attribute("log.record.uid").unwrap()).collect();
    assert_eq!(uids.len(), records.len());
}

/// R32: once where all is answered, and after a lost answer at least once, which can be told.
#[test]
fn r32_after_a_lost_answer_duplicates_have_the_same_name() {
    let world = world("exit 0", "echo built");
    for protocol in ["http/protobuf", "http/json"] {
        let collector = Collector::http();
        collector.next([Answer::Unanswered]);
        let endpoint = collector.endpoint();
        let more = [&on(&endpoint)[..], &[("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol))]].concat();
        world.run_with("builder", &[], &more).exits(0).done();
        let mut named = BTreeMap::<String, Vec<String>>::new();
        for record in collector.records() {
            named.entry(record.attribute("log.record.uid").unwrap()).or_default().push(record.body().to_owned());
        }
        assert!(named.values().any(|bodies| bodies.len() == 2), "{protocol}: {named:?}");
        assert!(named.values().all(|bodies| bodies.iter().all(|body| *body == bodies[0])), "{protocol}: {named:?}");
        let built = named.values().filter(|bodies| bodies[0] == "built").count();
        assert_eq!(built, 1, "{protocol}: {named:?}");
    }
}

#[test]
fn r33_a_record_says_what_was_printed_when_and_by_whom() {
    let build = "printf 'first'; sleep 0.1; printf ' line\\r\\n'; printf 'bad \\377 half \\303\\n'; \
                 head -c 70000 /dev/zero | tr '\\0' x; echo; printf '\\000\\000\\n\\033[1mbold'";
    let world = world("exit 0", build);
    let before = now();
    let (outcome, records) = built(&world, &[], &[("CNB_TELEMETRY", Some("true"))]);
    outcome.exits(0).done();
    let of_program: Vec<&Record> = records.iter().filter(|r| r.attribute("log.iostream").is_some()).collect();
    let bodies: Vec<&str> = of_program.iter().map(|record| record.body()).collect();
    let long = "x".repeat(70_000);
    let (one, two) = long.split_at(64 * 1024);
    assert_eq!(bodies, ["first line", "bad \u{fffd} half \u{fffd}", one, two, "\0\0", "\u{1b}[1mbold"]);
    let first = &of_program[0].record;
    assert!(first.time_unix_nano > before && first.observed_time_unix_nano >= first.time_unix_nano);
    assert!(of_program.windows(2).all(|pair| pair[0].record.time_unix_nano <= pair[1].record.time_unix_nano));
    let part = |index: usize| {
        let of = |key: &str| of_program[index].attribute(key);
        (of("cnb.line.part"), of("cnb.line.last"))
    };
    assert_eq!(part(2), (Some("1".into()), None));
    assert_eq!(part(3), (Some("2".into()), Some("true".into())));
    assert_eq!(part(0), (None, None));
    // The span in the file is that of the record.
    let spans = fs::read_to_string(world.path("layers/tracing/lifecycle/build.jsonl")).unwrap();
    let hex = |id: &[u8]| format!("{:032x}", id.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte)));
    let span = spans.lines().find(|line| line.contains("\"name\":\"buildpack-build\"")).unwrap();
    for record in &of_program {
        assert!(span.contains(&format!("\"spanId\":\"{}\"", &hex(&record.record.span_id)[16..])));
        assert!(span.contains(&format!("\"traceId\":\"{}\"", hex(&record.record.trace_id))));
        assert_eq!((record.record.flags, record.record.severity_number), (1, 0));
        assert_eq!(record.attribute("buildpack_id").as_deref(), Some("test/one"));
        assert_eq!(record.attribute("buildpack_version").as_deref(), Some("1.0"));
        assert_eq!(record.attribute("cicd.pipeline.task.name").as_deref(), Some("buildpack-build"));
    }
}

#[test]
fn r33_the_ids_need_a_context_where_there_are_no_files() {
    let world = world("exit 0", "echo line");
    let (outcome, records) = built(&world, &[], &[]);
    outcome.exits(0).done();
    assert!(records.iter().all(|record| record.record.trace_id.is_empty() && record.record.span_id.is_empty()));
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let (outcome, records) = built(&world, &[], &[("CNB_OTEL_TRACEPARENT", Some(context))]);
    outcome.exits(0).done();
    let of_program = records.iter().find(|record| record.body() == "line").unwrap();
    assert_eq!((of_program.record.trace_id[0], of_program.record.flags), (0x0a, 0));
    assert!(of_program.record.span_id.len() == 8 && of_program.record.span_id[0..2] != [0xb7, 0xad]);
    assert!(!world.path("layers/tracing").exists());
}

#[test]
fn r33_the_resource_of_records_has_what_the_user_adds() {
    let world = world("exit 0", "echo line");
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let more = [
        &on(&endpoint)[..],
        &[("OTEL_SERVICE_NAME", Some("my builds")), ("OTEL_RESOURCE_ATTRIBUTES", Some("team=a%2Cb,cnb.phase=other"))],
    ]
    .concat();
    world.run_with("builder", &[], &more).exits(0).done();
    for request in collector.requests() {
        let Payload::Logs(logs) = request.payload else { panic!("{:?}", request.payload) };
        for below in logs.resource_logs {
            let resource = below.resource.unwrap().attributes;
            let of = |key: &str| attribute(&resource, key);
            let found = ["service.name", "team", "cnb.phase"].map(of).map(Option::unwrap_or_default);
            assert_eq!(found, ["my builds", "a,b", "build"]);
        }
    }
}

#[test]
fn r34_the_lifecycles_own_lines_are_sent_with_phase_and_severity() {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", "echo detecting; exit 0", "echo building; exit 3");
    world.order(&[&["test/one"]]);
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let more = [&on(&endpoint)[..], &[("CNB_TELEMETRY", Some("true")), ("CNB_LOG_LEVEL", Some("debug"))]].concat();
    let args = ["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE];
    let outcome = world.run_with("creator", &args, &more).exits(51);
    let records = collector.records();
    let own: Vec<&Record> = records.iter().filter(|record| record.attribute("log.iostream").is_none()).collect();
    // Every line of the terminal is a record, and nothing else is.
    let mut shown: Vec<&str> = outcome.stdout.lines().collect();
    let mut sent: Vec<&str> = records.iter().map(Record::body).collect();
    shown.sort_unstable();
    sent.sort_unstable();
    // What a bin/detect printed is shown later, by the lifecycle.
    assert_eq!(sent, shown, "{}", outcome.report());
    let find = |text: &str| *own.iter().find(|record| record.body().contains(text)).expect(text);
    for (text, severity, phase) in [
        ("Starting creator", 5, "create"),
        ("===> BUILDING", 9, "create"),
        ("pass: test/one@1.0", 5, "detect"),
        ("ERROR: failed to build", 17, "create"),
    ] {
        let record = find(text);
        assert_eq!(record.record.severity_number, severity, "{text}");
        assert_eq!(record.attribute("cicd.pipeline.task.name").as_deref(), Some(phase), "{text}");
        assert_eq!(record.record.span_id.len(), 8, "{text}");
    }
    assert!(own.iter().all(|record| record.attribute("buildpack_id").is_none()));
    let phases: Vec<Option<String>> = ["detecting", "building"]
        .map(|text| records.iter().find(|record| record.body() == text).unwrap().attribute("cicd.pipeline.task.name"))
        .to_vec();
    assert_eq!(phases, [Some("buildpack-detect".to_owned()), Some("buildpack-build".to_owned())]);
    assert_eq!(records.iter().filter(|record| record.body() == "detecting").count(), 1);
}

#[test]
fn r35_secrets_do_not_leave_and_are_shown_unless_asked() {
    let build = r#"echo "token is $NPM_TOKEN"
for c in h u n t e r 2 '!'; do printf %s "$c"; sleep 0.01; done; echo
echo user:registry-pass | base64
echo '{"p":"very\"secret"}'
"#;
    let world = world("exit 0", build);
    fs::create_dir_all(world.path("platform/env")).unwrap();
    fs::create_dir_all(world.path("platform/bindings/db")).unwrap();
    world.write("platform/env/NPM_TOKEN", "hunter2!");
    world.write("platform/bindings/db/password", "very\"secret");
    let auth = ("CNB_REGISTRY_AUTH", Some(r#"{"r.io":"Basic dXNlcjpyZWdpc3RyeS1wYXNz"}"#));
    let (outcome, records) = built(&world, &[], &[auth]);
    let outcome = outcome.exits(0).says("token is hunter2!").says("very\\\"secret");
    let sent = records.iter().map(Record::body).collect::<Vec<_>>().join("\n");
    for secret in ["hunter2", "registry-pass", "very", "cmVnaXN0cnk"] {
        assert!(!sent.contains(secret), "{secret}: {sent}");
    }
    assert!(sent.contains("token is [REDACTED]\n[REDACTED]\n"), "{sent}");
    assert_eq!(printed(&records).len(), 4);
    outcome.done();
    // The terminal too, with and without records.
    for logs in [None, Some("true")] {
        for strips in [None, Some("true")] {
            let wishes = [
                auth,
                ("CNB_REDACT", Some("true")),
                ("CNB_BUILD_LOGS_OTLP", logs),
                ("CNB_BUILD_LOGS_STRIP_ANSI", strips),
            ];
            let (outcome, _) = built(&world, &[], &wishes);
            outcome
                .exits(0)
                .says("token is [REDACTED]\n[REDACTED]\n")
                .does_not_say("hunter2")
                .does_not_say("very")
                .done();
        }
    }
}

#[test]
fn r35_what_bin_detect_printed_is_redacted_where_it_is_shown() {
    let world = world("exit 0", "exit 0");
    world.buildpack("test/one", "0.12", "", "echo key hunter2; exit 0", "exit 0");
    let more = [("CNB_REDACT", Some("true")), ("CNB_LOG_LEVEL", Some("debug")), ("MY_KEY", Some("hunter2"))];
    world.run_with("detector", &[], &more).exits(0).says("key [REDACTED]").does_not_say("hunter2").done();
}

#[test]
fn r35_keys_and_headers_are_redacted_in_each_form_that_they_are_printed_in() {
    let build = r#"sed 's/^/    /' "$CNB_PLATFORM_DIR/env/TLS_KEY"; echo collector:otlp-password; echo "is otlp-password"
cat "$CNB_PLATFORM_DIR/env/BIG_TOKEN"; echo; sleep 0.1; echo done"#;
    let world = world("exit 0", build);
    world.write(
        "platform/env/TLS_KEY",
        "-----BEGIN KEY-----\nMIIEvQIBADANBgABC\nQQQQQIBADANBgABCD\n-----END KEY-----\n",
    );
    let numbers: Vec<String> = (0..20_000).map(|number| format!("{number:05}")).collect();
    world.write("platform/env/BIG_TOKEN", &numbers.concat());
    // user and password as `Basic` has them: collector:otlp-password
    let header = ("OTEL_EXPORTER_OTLP_HEADERS", Some("Authorization=Basic%20Y29sbGVjdG9yOm90bHAtcGFzc3dvcmQ="));
    let (outcome, records) = built(&world, &[], &[header]);
    outcome.exits(0).says("    MIIEvQIBADANBgABC\n").done();
    let bodies = printed(&records);
    let key = ["    -----BEGIN KEY-----", "    [REDACTED]", "    [REDACTED]", "    -----END KEY-----"];
    assert_eq!(bodies, [&key[..], &["[REDACTED]", "is [REDACTED]", "[REDACTED]", "done"]].concat());
}

/// What a program may print that is no text: issue 8, "Bad input".
#[test]
fn r33_nul_bytes_half_characters_and_escape_sequences_are_records_like_others() {
    let build = r"head -c 300000 /dev/zero; echo; head -c 65536 /dev/zero | tr '\0' x; printf '\r\n'; \
                 printf '\033[31m\033]0;\007\n\303'";
    let world = world("exit 0", build);
    let (outcome, records) = built(&world, &[], &[]);
    let outcome = outcome.exits(0);
    assert_eq!(outcome.stdout.matches('\0').count(), 300_000);
    outcome.done();
    let bodies = printed(&records);
    let parts: Vec<usize> = bodies.iter().map(|body| body.len()).collect();
    assert_eq!(parts, [65_536, 65_536, 65_536, 65_536, 300_000 - 4 * 65_536, 65_536, 10, 3]);
    assert!(bodies[..5].iter().all(|body| body.bytes().all(|byte| byte == 0)));
    assert_eq!(bodies[6..], ["\u{1b}[31m\u{1b}]0;\u{7}", "\u{fffd}"]);
}

/// More than may wait, with nobody who takes it: each line is a record or counted, and the build is as without.
#[test]
fn r37_every_line_is_a_record_or_counted_when_too_much_is_printed() {
    let world = world("exit 0", "yes 'a line of some length that fills the spool' | head -n 300000; echo the end >&2");
    let mut collector = Collector::http();
    let endpoint = collector.endpoint();
    collector.stop();
    let more =
        [&on(&endpoint)[..], &[("CNB_TELEMETRY_SPOOL_LIMIT", Some("2")), ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("0"))]]
            .concat();
    let outcome = world.run_with("builder", &[], &more).exits(0);
    assert_eq!(outcome.stdout.matches("fills the spool\n").count(), 300_000);
    let spools = spools(&world);
    let size = fs::metadata(&spools[0]).unwrap().len();
    assert!(size < 3 << 20, "{size}");
    collector.restart();
    world.run_with("lifecycle", &["ship", spools[0].to_str().unwrap()], &more).exits(0).done();
    let records = collector.records();
    let dropped: usize = records.iter().filter_map(|r| r.attribute("cnb.lines.dropped")?.parse::<usize>().ok()).sum();
    assert!(dropped > 0);
    assert_eq!(printed(&records).len() + dropped, 300_001);
    outcome.says(&format!("build logs are incomplete: {dropped} lines were dropped")).done();
}

#[test]
fn escape_sequences_are_taken_out_of_records_alone() {
    let world = world("exit 0", "printf '\\033[31mred\\033[0m hun\\033[1mter2\\n'");
    let colours = [("CNB_NO_COLOR", None), ("MY_KEY", Some("hunter2"))];
    let (outcome, records) = built(&world, &["-build-logs-strip-ansi"], &colours);
    outcome.exits(0).says("\u{1b}[31mred\u{1b}[0m hun\u{1b}[1mter2\n").done();
    assert_eq!(printed(&records), ["red [REDACTED]"]);
}

#[test]
fn r36_a_program_left_behind_delays_the_end_by_two_seconds_at_most() {
    let world = world("exit 0", "echo soon; (sleep 60; echo late) & echo $! > \"$CNB_LAYERS_DIR/pid\"");
    let (outcome, records) = built(&world, &[], &[]);
    let pid = world.read("layers/test_one/pid");
    // Had the phase waited for it, it would have ended.
    crate::telemetry::kill(pid.trim());
    outcome.exits(0).says("still holds its output").done();
    assert_eq!(printed(&records), ["soon"]);
    assert!(records.iter().any(|record| record.body().contains("still holds its output")));
}

/// The phase waits for a collector, and somebody prints on: what is shown is recorded, and what is not recorded is let go.
#[test]
fn r36_what_a_program_left_behind_prints_in_the_end_is_recorded_or_not_shown() {
    // Wherever the lifecycle cuts what it reads, that is the end of a line.
    let build = "(while :; do printf '%063d\\n' 7; sleep 0.01; done) & echo $! > \"$CNB_LAYERS_DIR/pid\"";
    let world = world("exit 0", build);
    let collector = Collector::http();
    collector.always(Answer::BlackHole);
    let endpoint = collector.endpoint();
    let more = [&on(&endpoint)[..], &[("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("2s"))]].concat();
    let outcome = world.run_with("builder", &[], &more).exits(0).says("still holds its output");
    // It may have ended of nobody listening.
    let pid = world.read("layers/test_one/pid");
    let _ = std::process::Command::new("kill").arg(pid.trim()).output();
    let spools = spools(&world);
    collector.always(Answer::Ok);
    world.run_with("lifecycle", &["ship", spools[0].to_str().unwrap()], &more).exits(0).done();
    let shown = outcome.stdout.lines().filter(|line| line.ends_with("0007")).count();
    assert!(shown > 10, "{}", outcome.report());
    assert_eq!(printed(&collector.records()).len(), shown);
    outcome.done();
}

#[test]
fn t13_a_dead_collector_changes_no_exit_code_and_what_waits_is_kept() {
    // Nobody listens there.
    let dead = "http://127.0.0.1:9";
    for (build, code) in [("echo line", 0), ("echo line; exit 1", 51)] {
        let world = world("exit 0", build);
        let more = [&on(dead)[..], &[("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("100ms"))]].concat();
        let outcome = world.run_with("builder", &[], &more).exits(code).says("lifecycle ship");
        let spools = spools(&world);
        assert_eq!(spools.len(), 1, "{}", outcome.report());
        assert!(fs::read(&spools[0]).unwrap().windows(4).any(|bytes| bytes == b"line"));
        outcome.done();
    }
}

#[test]
fn t13_who_has_to_wait_for_the_collector_over_a_second_is_told() {
    let world = world("exit 0", "echo built");
    let collector = Collector::http();
    collector.always(Answer::BlackHole);
    let endpoint = collector.endpoint();
    let waits = |timeout: &'static str| {
        let more = [&on(&endpoint)[..], &[("CNB_TELEMETRY_FLUSH_TIMEOUT", Some(timeout))]].concat();
        world.run_with("builder", &[], &more).exits(0).says("were not delivered")
    };
    waits("1500ms").says("to the collector, for 1.5s at most").done();
    waits("900ms").does_not_say("to the collector, for").done();
}

#[test]
fn t13_without_a_place_for_the_spool_there_is_one_warning() {
    let world = World::new();
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let more = [&on(&endpoint)[..], &[("TMPDIR", Some("/nowhere"))]].concat();
    let outcome = world.run_with("analyzer", &[APP_IMAGE], &more).exits(0);
    assert_eq!(outcome.stdout.matches("nothing is sent to a collector").count(), 1, "{}", outcome.report());
    assert!(collector.requests().is_empty());
    outcome.done();
}

#[test]
fn t12_an_image_is_the_same_with_and_without_and_no_line_is_in_the_layers_folder() {
    let build = "mkdir -p \"$CNB_LAYERS_DIR/app\"; printf '[types]\\nlaunch = true\\n' > \"$CNB_LAYERS_DIR/app.toml\"; \
                 echo canary-line";
    let world = world("exit 0", build);
    let creator = |more: &[(&str, Option<&str>)]| {
        let args = ["-launcher", "bin/launcher", APP_IMAGE];
        world.run_with("creator", &args, more).exits(0).done();
        world.digest(APP_IMAGE)
    };
    let without = creator(&[]);
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    assert_eq!(creator(&[&on(&endpoint)[..], &[("CNB_TELEMETRY", Some("true"))]].concat()), without);
    assert!(collector.lines().iter().any(|line| line == "canary-line"));
    let mut folders = vec![world.path("layers")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match fs::read(&entry) {
                Ok(bytes) => assert!(!bytes.windows(11).any(|text| text == b"canary-line"), "{}", entry.display()),
                Err(_) => folders.push(entry),
            }
        }
    }
    assert!(spools(&world).is_empty(), "what was delivered is gone");
}

fn spools(world: &World) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(world.path("tmp")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "spool")).collect()
}

fn now() -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    let since = file.as_file().metadata().unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    // Times of files are coarse.
    u64::try_from(since.as_nanos()).unwrap() - 1_000_000_000
}
