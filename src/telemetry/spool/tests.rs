//! What goes in comes out, places are given back, and nothing in the file is trusted.

use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::*;

pub(in crate::telemetry) fn config(folder: &Path) -> SpoolConfig {
    SpoolConfig {
        folder: folder.to_owned(),
        forbidden: Vec::new(),
        name: "build",
        owner: None,
        cap: DEFAULT_CAP,
        traces: Form::Json,
        logs: Form::Protobuf,
    }
}

fn spool(cap: u64) -> (tempfile::TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::create(&SpoolConfig { cap, ..config(folder.path()) }).unwrap();
    (folder, spool)
}

fn bytes(spool: &Spool, frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    spool.read(frame, &mut bytes).unwrap();
    bytes
}

/// Everything that a reader comes across.
fn items(file: &File) -> Vec<Item> {
    let mut reader = Reader::new(file).unwrap().unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

/// The requests that wait in a file.
fn requests(file: &File) -> Vec<(Signal, Vec<u8>)> {
    let read = |item: Item| {
        let Item::Frame(frame) = item else { return None };
        let mut bytes = Vec::new();
        frame.read(file, &mut bytes).ok()?;
        Some((frame.signal, bytes))
    };
    items(file).into_iter().filter_map(read).collect()
}

#[test]
fn r37_it_is_a_file_of_its_own_that_only_its_owner_reads_and_that_is_gone_when_nothing_waits() {
    let (folder, spool) = spool(DEFAULT_CAP);
    let metadata = fs::metadata(spool.path()).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    let name = spool.path().file_stem().unwrap().to_str().unwrap();
    assert!(name.starts_with("lifecycle-build-"), "{name}");
    assert_eq!(spool.path().extension().unwrap(), "spool");
    let flags = rustix::fs::fcntl_getfl(spool.file.as_fd()).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::APPEND));
    spool.append(Signal::Logs, 1, b"one", 1).unwrap();
    spool.give_back(Signal::Logs, 1);
    assert_eq!(spool.end(), Rest::Nothing);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(spool.append(Signal::Logs, 1, b"late", 1), Err(Refused::Failed(_))));
}

#[test]
fn r38_it_holds_requests_as_they_are_sent_and_in_their_order() {
    let (_folder, spool) = spool(DEFAULT_CAP);
    assert_eq!((spool.form(Signal::Traces), spool.form(Signal::Logs)), (Form::Json, Form::Protobuf));
    for (signal, request, records) in
        [(Signal::Logs, "a", 1), (Signal::Traces, "{}", 2), (Signal::Logs, "bb", 3), (Signal::Logs, "", 0)]
    {
        spool.append(signal, 7, request.as_bytes(), records).unwrap();
    }
    assert_eq!(spool.waiting(), Waiting { records: 6, bytes: 5 });
    let texts =
        |most| -> Vec<Vec<u8>> { spool.first(Signal::Logs, most).iter().map(|frame| bytes(&spool, frame)).collect() };
    assert_eq!(texts(100), [&b"a"[..], b"bb", b""]);
    assert_eq!(texts(2), [b"a"]);
    // Too long for the limit, but the first is always given.
    assert_eq!(texts(0), [b"a"]);
    let frame = spool.first(Signal::Traces, 0)[0];
    assert_eq!((frame.form, frame.records, frame.process), (Form::Json, 2, 7));
    assert_eq!(spool.end(), Rest::Kept { path: spool.path().to_owned(), records: 6 });
    let expected = [(Signal::Logs, "a"), (Signal::Traces, "{}"), (Signal::Logs, "bb"), (Signal::Logs, "")];
    let found = requests(&spool.file);
    assert_eq!(found, expected.map(|(signal, text)| (signal, text.as_bytes().to_vec())));
}

#[test]
fn r37_places_are_given_back_while_others_still_wait() {
    let (_folder, spool) = spool(1 << 30);
    let blocks = || fs::metadata(spool.path()).unwrap().blocks() * 512;
    let request = vec![b'x'; 100_000];
    for _ in 0..50 {
        spool.append(Signal::Logs, 1, &request, 1).unwrap();
        spool.append(Signal::Traces, 1, &request, 1).unwrap();
    }
    spool.file.sync_all().unwrap();
    assert!(blocks() >= 10_000_000, "{}", blocks());
    spool.give_back(Signal::Logs, 20);
    spool.give_back(Signal::Logs, 30);
    spool.give_back(Signal::Traces, 49);
    assert!(blocks() < 300_000, "{}", blocks());
    assert_eq!(requests(&spool.file), [(Signal::Traces, request)]);
    assert_eq!(items(&spool.file).len(), 1, "what is delivered is not found again, whether it is still there or not");
    spool.give_back(Signal::Traces, 1);
    assert_eq!(fs::metadata(spool.path()).unwrap().len(), TITLE.len() as u64);
    // It goes on from the beginning.
    spool.append(Signal::Logs, 1, b"next", 1).unwrap();
    assert_eq!(requests(&spool.file), [(Signal::Logs, b"next".to_vec())]);
}

#[test]
fn r37_what_is_delivered_is_not_found_again_before_its_place_is_given_back() {
    let (_folder, spool) = three();
    spool.give_back(Signal::Logs, 2);
    assert_eq!(requests(&spool.file), [(Signal::Logs, b"four".to_vec())]);
}

#[test]
fn r37_two_that_send_at_once_give_no_place_back_that_is_in_use_again() {
    let (_folder, spool) = spool(DEFAULT_CAP);
    std::thread::scope(|scope| {
        for signal in Signal::ALL {
            let spool = &spool;
            scope.spawn(move || {
                for round in 0..3_000 {
                    // Long ones at times, so that holes are made, too.
                    let request = vec![b'x'; if round % 100 == 0 { 100_000 } else { 10 }];
                    for _ in 0..20 {
                        spool.append(signal, 1, &request, 1).unwrap();
                    }
                    for frame in spool.first(signal, u64::MAX) {
                        assert_eq!(head_of(spool, &frame), frame.head(), "it counts as delivered");
                        assert_eq!(bytes(spool, &frame).len(), request.len());
                    }
                    spool.give_back(signal, 20);
                }
            });
        }
    });
    assert_eq!(spool.end(), Rest::Nothing);
}

/// What is in the place of a frame's head.
fn head_of(spool: &Spool, frame: &Frame) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    spool.file.read_exact_at(&mut head, frame.at).unwrap();
    head
}

#[test]
fn r37_each_program_has_a_cap_of_its_own_on_what_waits() {
    let (_folder, spool) = spool(1_000);
    let request = [b'x'; 400];
    assert!(spool.append(Signal::Logs, 1, &request, 1).is_ok());
    assert!(spool.append(Signal::Logs, 1, &request, 1).is_ok());
    assert!(matches!(spool.append(Signal::Logs, 1, &request, 1), Err(Refused::Full)));
    assert!(matches!(spool.append(Signal::Traces, 1, &request, 1), Err(Refused::Full)));
    assert!(spool.append(Signal::Logs, 2, &request, 1).is_ok());
    spool.give_back(Signal::Logs, 1);
    assert!(spool.append(Signal::Logs, 1, &request, 1).is_ok());
    assert!(matches!(spool.append(Signal::Logs, 1, &request, 1), Err(Refused::Full)));
    assert_eq!(spool.waiting().records, 3);
}

#[test]
fn r37_a_file_that_somebody_removed_replaced_or_shortened_is_not_taken_for_the_spool() {
    let path = |spool: &Spool| spool.path().to_owned();
    let harms: [&dyn Fn(&Spool); 3] = [
        &|spool| fs::remove_file(spool.path()).unwrap(),
        &|spool| {
            fs::remove_file(spool.path()).unwrap();
            fs::write(spool.path(), "something else").unwrap();
        },
        &|spool| spool.marks.set_len(20).unwrap(),
    ];
    for harm in harms {
        let (_folder, spool) = spool(DEFAULT_CAP);
        spool.append(Signal::Logs, 1, b"one", 3).unwrap();
        harm(&spool);
        assert_eq!(spool.end(), Rest::Gone { path: path(&spool), records: 3 });
    }
    // What is another's is not removed either, where nothing waits.
    let (_folder, spool) = spool(DEFAULT_CAP);
    harms[1](&spool);
    assert_eq!(spool.end(), Rest::Nothing);
    assert!(spool.path().exists());
}

#[test]
fn r37_where_places_cannot_be_given_back_the_file_itself_has_the_cap() {
    let (_folder, spool) = spool(1_000);
    spool.lock().keeps_places = true;
    assert!(spool.append(Signal::Logs, 1, &[b'x'; 700], 1).is_ok());
    assert!(matches!(spool.append(Signal::Logs, 2, &[b'x'; 700], 1), Err(Refused::Full)));
    spool.give_back(Signal::Logs, 1);
    assert!(spool.append(Signal::Logs, 2, &[b'x'; 700], 1).is_ok());
}

#[test]
fn r12_a_full_disk_is_an_error_and_leaves_nothing_of_the_request() {
    let (_folder, mut spool) = spool(DEFAULT_CAP);
    spool.append(Signal::Logs, 1, b"one", 1).unwrap();
    let real = std::mem::replace(&mut spool.file, OpenOptions::new().append(true).open("/dev/full").unwrap());
    let error = spool.append(Signal::Logs, 1, b"two", 1).unwrap_err();
    assert_eq!(error.to_string(), "no space left on device");
    assert_eq!(spool.waiting().records, 1);
    spool.file = real;
    spool.append(Signal::Logs, 1, b"three", 1).unwrap();
    assert_eq!(requests(&spool.file).len(), 2);
}

#[test]
fn a_missing_folder_is_an_error_and_a_forbidden_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = Spool::create(&config(&missing)).err().unwrap().to_string();
    assert_eq!(error, format!("{}: no such file or directory", missing.display()));
    let forbidden = vec![folder.path().join("app"), folder.path().join("layers")];
    let layers = folder.path().join("layers/tmp");
    fs::create_dir_all(&layers).unwrap();
    assert_eq!(place(&layers, &forbidden).as_deref(), Some(Path::new("/tmp")));
    assert_eq!(place(&layers.join(".."), &forbidden).as_deref(), Some(Path::new("/tmp")));
    assert_eq!(place(folder.path(), &forbidden).as_deref(), Some(folder.path()));
    // An app folder may be anything.
    assert_eq!(place(folder.path(), &["/".into()]), None);
}

/// A file with three requests, of 3, 5 and 4 bytes.
fn three() -> (tempfile::TempDir, Spool) {
    let (folder, spool) = spool(DEFAULT_CAP);
    for request in ["one", "three", "four"] {
        spool.append(Signal::Logs, 1, request.as_bytes(), 10).unwrap();
    }
    (folder, spool)
}

/// Where the second request's head begins.
const SECOND: u64 = (TITLE.len() + HEAD + 3) as u64;

#[test]
fn r37_a_torn_last_request_is_known_at_every_length() {
    let (_folder, spool) = three();
    let length = fs::metadata(spool.path()).unwrap().len();
    let last = length - HEAD as u64 - 4;
    for cut in (last + 1..length).rev() {
        spool.marks.set_len(cut).unwrap();
        let items = items(&spool.file);
        let torn = if cut - last < HEAD as u64 { 0 } else { 10 };
        assert!(matches!(items[..], [Item::Frame(_), Item::Frame(_), Item::Torn(count)] if count == torn), "{cut}");
    }
    spool.marks.set_len(last).unwrap();
    assert_eq!(items(&spool.file).len(), 2);
}

#[test]
fn damage_is_stepped_over() {
    for (at, byte) in [(SECOND, 0xff), (SECOND + 9, 0xff), (SECOND + 29, 0xff), (SECOND + 4, 7)] {
        let (_folder, spool) = three();
        spool.marks.write_all_at(&[byte], at).unwrap();
        let items = items(&spool.file);
        assert!(matches!(items[..], [Item::Frame(_), Item::Damage(37), Item::Frame(_)]), "{at}: {items:?}");
    }
    let (_folder, spool) = three();
    spool.marks.write_all_at(b"X", SECOND + HEAD as u64).unwrap();
    let kept: Vec<_> = requests(&spool.file).into_iter().map(|(_, request)| request).collect();
    assert_eq!(kept, [&b"one"[..], b"four"], "a request whose checksum does not fit is not given");
}

#[test]
fn what_is_marked_as_delivered_is_not_given_again() {
    let (_folder, spool) = three();
    let second = spool.first(Signal::Logs, 100)[1];
    second.mark(&spool.marks).unwrap();
    let kept: Vec<_> = requests(&spool.file).into_iter().map(|(_, request)| request).collect();
    assert_eq!(kept, [&b"one"[..], b"four"]);
}

#[test]
fn holes_of_any_size_cost_nothing() {
    let (_folder, spool) = three();
    let mut head = spool.first(Signal::Logs, 0)[0];
    head.at = 1 << 40;
    spool.marks.write_all_at(&head.head(), head.at).unwrap();
    spool.marks.write_all_at(b"one", head.at + HEAD as u64).unwrap();
    assert_eq!(requests(&spool.file).len(), 4);
    spool.marks.set_len(1 << 42).unwrap();
    assert_eq!(requests(&spool.file).len(), 4);
}

#[test]
fn other_files_are_no_spools() {
    for text in ["", "cnb-otlp-spool", "cnb-otlp-spool 2", "#!/bin/sh\nexit 0\n and more"] {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        assert!(Reader::new(&file).unwrap().is_none(), "{text}");
    }
}

mod fuzz {
    use super::*;

    #[test]
    fn spool() {
        let (_folder, spool) = three();
        spool.append(Signal::Traces, u64::MAX, br#"{"resourceSpans":[]}"#, 0).unwrap();
        let seed = fs::read(spool.path()).unwrap();
        crate::fuzz::parser("spool", 512, &[seed], |bytes| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            let Some(mut reader) = Reader::new(&file).unwrap() else { return };
            let mut end = TITLE.len() as u64;
            while let Some(item) = reader.next().unwrap() {
                if let Item::Frame(frame) = item {
                    // Forward, within the file, and one after the other.
                    assert!(frame.at >= end && frame.end() <= bytes.len() as u64, "{frame:?}");
                    end = frame.end();
                    let mut request = Vec::new();
                    let _ = frame.read(&file, &mut request);
                }
            }
        });
    }
}
