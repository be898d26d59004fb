//! Which trace a program's spans belong to: the platform's, or one that all phases of a build share.
//!
//! Telemetry T5, T6, R19-R23.

use std::ffi::OsStr;

use opentelemetry::trace::TraceState;
use opentelemetry_sdk::trace::IdGenerator;

use super::files::{FileError, Folder};
use super::{Fault, Faults, ids};
use crate::effect::events::Phase;
use crate::model::trace::TraceContext;

/// The file in `<layers>/tracing/lifecycle` with the context that phases share when the platform gives none.
pub const SHARED: &str = "traceparent";

/// Where the first span of a program hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Below a span of the platform.
    Platform(TraceContext),
    /// At the top of a trace with this id.
    Build([u8; 16]),
}

impl Origin {
    /// The trace.
    pub fn trace_id(self) -> [u8; 16] {
        match self {
            Self::Platform(context) => context.trace_id,
            Self::Build(trace_id) => trace_id,
        }
    }
}

/// Finds the trace. The platform's context counts if it is valid; else the phases share one through the folder.
pub fn origin(
    platform: Option<&OsStr>,
    phase: Phase,
    folder: Option<&Folder>,
    ids: &dyn IdGenerator,
    faults: &Faults,
) -> Origin {
    if let Some(value) = platform {
        match value.to_str().and_then(|text| TraceContext::parse(text).ok()) {
            Some(context) => return Origin::Platform(context),
            None => faults.add(Fault::Context),
        }
    }
    let fresh =
        TraceContext { trace_id: ids::trace_id(ids).to_bytes(), span_id: ids::span_id(ids).to_bytes(), flags: 1 };
    let shared = folder.map(|folder| share(folder, phase, fresh));
    Origin::Build(shared.and_then(|shared| faults.unless(shared)).unwrap_or(fresh).trace_id)
}

/// Gives the context that is shared through the folder, or shares `fresh`. Only its trace id counts.
///
/// `analyze` and `create` are the first of a build and always share a new one: a kept `<layers>` must not lend the trace
/// of an earlier build. `detect` does so where the shared trace has a detection already: then this build was analyzed
/// where this folder is not, as by pack, which gives a folder for traces to detector and builder only. A rebase is part
/// of no build.
fn share(folder: &Folder, phase: Phase, fresh: TraceContext) -> Result<TraceContext, FileError> {
    let text = format!("{fresh}\n");
    // A name that no other program has or left behind. Process ids would not do: in containers all are 1.
    let temporary = format!(".{SHARED}.{}", &text[36..52]);
    match phase {
        Phase::Rebase => Ok(fresh),
        Phase::Analyze | Phase::Create => folder.put(SHARED, &temporary, &text, true).map(|_| fresh),
        Phase::Detect | Phase::Restore | Phase::Extend | Phase::Build | Phase::Export => {
            // Mostly it is there; asking first means that a phase which may not write here still finds its trace.
            let read = || {
                let shared = TraceContext::parse(folder.read(SHARED).ok()?.trim_end()).ok()?;
                Some(shared).filter(|shared| phase != Phase::Detect || !was_detected_in(folder, shared))
            };
            if let Some(context) = read() {
                return Ok(context);
            }
            if folder.put(SHARED, &temporary, &text, false)? {
                return Ok(fresh);
            }
            // Another phase was quicker, or the file says nothing of use, or of an earlier build.
            match read() {
                Some(context) => Ok(context),
                None => folder.put(SHARED, &temporary, &text, true).map(|_| fresh),
            }
        }
    }
}

/// Says whether the last detection that left spans in this folder was part of this trace.
fn was_detected_in(folder: &Folder, trace: &TraceContext) -> bool {
    let spans = folder.read_end(&format!("{}.jsonl", Phase::Detect.verb())).unwrap_or_default();
    spans.contains(&format!(r#""traceId":"{}""#, &trace.to_string()[3..35]))
}

/// What vendors added to the platform's context, if it is well formed. It goes to programs and never into a file (T9).
pub fn trace_state(origin: Origin, platform: Option<&OsStr>) -> Option<String> {
    let text = platform.filter(|_| matches!(origin, Origin::Platform(_)))?.to_str()?;
    let state: TraceState = text.parse().ok()?;
    Some(state.header()).filter(|header| !header.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ids::random;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn found(platform: Option<&str>, phase: Phase, folder: &Folder) -> (Origin, usize) {
        let faults = Faults::default();
        let origin = origin(platform.map(OsStr::new), phase, Some(folder), &*random(), &faults);
        (origin, faults.warnings().len())
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let layers = tempfile::tempdir().unwrap();
        let folder = Folder::given(layers.path(), None).unwrap();
        (layers, folder)
    }

    #[test]
    fn r19_a_traceparent_is_read_strictly() {
        #[derive(serde::Deserialize)]
        struct Cases {
            case: Vec<Case>,
        }
        #[derive(serde::Deserialize)]
        struct Case {
            name: String,
            value: String,
            valid: bool,
            flags: Option<u8>,
        }
        let text = include_str!("../../spec-fixtures/traceparent/cases.toml");
        let cases: Cases = toml::from_str(text).unwrap();
        assert_eq!(cases.case.len(), 28);
        let (_layers, folder) = folder();
        for case in cases.case {
            let (origin, warnings) = found(Some(&case.value), Phase::Analyze, &folder);
            match origin {
                Origin::Platform(context) => {
                    assert!(case.valid, "{}", case.name);
                    assert_eq!(context.to_string()[3..52], VALID[3..52], "{}", case.name);
                    assert_eq!(Some(context.flags), case.flags, "{}", case.name);
                    assert_eq!(warnings, 0, "{}", case.name);
                }
                Origin::Build(trace_id) => {
                    assert!(!case.valid, "{}", case.name);
                    assert_ne!(trace_id, [0; 16], "{}", case.name);
                    assert_eq!(warnings, 1, "{}", case.name);
                }
            }
        }
    }

    #[test]
    fn a_traceparent_that_is_not_utf_8_is_a_warning() {
        use std::os::unix::ffi::OsStrExt;
        let faults = Faults::default();
        origin(Some(OsStr::from_bytes(b"\xff")), Phase::Analyze, None, &*random(), &faults);
        assert_eq!(faults.warnings().len(), 1);
    }

    #[test]
    fn later_phases_take_the_trace_of_analyze() {
        let (_layers, folder) = folder();
        let first = found(None, Phase::Analyze, &folder);
        for phase in [Phase::Detect, Phase::Restore, Phase::Extend, Phase::Build, Phase::Export] {
            assert_eq!(found(None, phase, &folder), first);
        }
    }

    #[test]
    fn the_next_build_in_a_kept_folder_has_a_trace_of_its_own() {
        let (_layers, folder) = folder();
        let (first, _) = found(None, Phase::Create, &folder);
        let (second, _) = found(None, Phase::Analyze, &folder);
        assert_ne!(first, second);
        assert_eq!(found(None, Phase::Build, &folder).0, second);
    }

    /// As pack's containers do, where detector and builder alone have the folder, and it is kept.
    #[test]
    fn t6_a_detection_begins_a_trace_where_the_shared_one_has_one_already() {
        let (layers, folder) = folder();
        let build = || {
            let (Origin::Build(trace), 0) = found(None, Phase::Detect, &folder) else { panic!() };
            let trace = u128::from_be_bytes(trace);
            let line = format!("{{\"cnb.phase\":\"detect\",\"traceId\":\"{trace:032x}\"}}\n");
            folder.append("detect.jsonl").unwrap().append(line.as_bytes()).unwrap();
            for phase in [Phase::Restore, Phase::Extend, Phase::Build, Phase::Export] {
                assert_eq!(found(None, phase, &folder), (Origin::Build(trace.to_be_bytes()), 0));
            }
            trace
        };
        let first = build();
        let second = build();
        assert_ne!(first, second);
        // However much other detections left there.
        let file = std::fs::OpenOptions::new().append(true).open(layers.path().join("detect.jsonl")).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(b'\n'), 10 << 20), &mut &file).unwrap();
        let (Origin::Build(analyzed), 0) = found(None, Phase::Analyze, &folder) else { panic!() };
        assert_eq!(build(), u128::from_be_bytes(analyzed));
        assert_ne!(build(), u128::from_be_bytes(analyzed));
    }

    #[test]
    fn a_rebase_neither_takes_nor_leaves_a_trace() {
        let (layers, folder) = folder();
        assert_ne!(found(None, Phase::Rebase, &folder), found(None, Phase::Rebase, &folder));
        assert!(!layers.path().join(SHARED).exists());
    }

    #[test]
    fn a_garbled_shared_file_is_replaced() {
        let (layers, folder) = folder();
        std::fs::write(layers.path().join(SHARED), "nonsense").unwrap();
        let (first, _) = found(None, Phase::Detect, &folder);
        assert_eq!(found(None, Phase::Build, &folder).0, first);
    }

    #[test]
    fn r23_phases_that_start_at_once_agree_on_a_trace() {
        let (layers, folder) = folder();
        let start = std::sync::Barrier::new(16);
        let traces: Vec<(Origin, usize)> = std::thread::scope(|scope| {
            let phases = [Phase::Detect, Phase::Restore, Phase::Build, Phase::Export];
            let threads: Vec<_> = (0..16)
                .map(|number| {
                    let (start, folder) = (&start, &folder);
                    scope.spawn(move || {
                        start.wait();
                        found(None, phases[number % phases.len()], folder)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(traces.iter().all(|trace| *trace == traces[0]), "{traces:?}");
        assert_eq!(std::fs::read_dir(layers.path()).unwrap().count(), 1);
    }

    #[test]
    fn vendors_state_counts_only_beside_a_valid_context() {
        let platform = Origin::Platform(TraceContext::parse(VALID).unwrap());
        assert_eq!(trace_state(platform, Some(OsStr::new("a=1,b=2"))).as_deref(), Some("a=1,b=2"));
        assert_eq!(trace_state(platform, Some(OsStr::new("no state"))), None);
        assert_eq!(trace_state(Origin::Build([1; 16]), Some(OsStr::new("a=1"))), None);
    }
}
