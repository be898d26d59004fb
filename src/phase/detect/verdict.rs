//! What the results of its modules mean for a group.
//!
//! Clause: buildpack.md#phase-1-detection; catalogue 1, section 3.7.

use std::sync::Arc;

use super::order::Stop;
use super::plan::Passed;
use super::runs::Recorded;
use crate::buildpack::detect::Verdict;
use crate::effect::events::Transcript;
use crate::model::id::ModuleKind;
use crate::model::order::GroupElement;

/// Tells the results of a group's modules, and gives those that passed when the group can do without the others.
pub(super) fn judge<'a>(
    results: &'a [(&'a GroupElement, &'a Recorded)],
    transcript: &mut Vec<Transcript>,
) -> Result<Vec<Passed<'a>>, Stop> {
    for (module, recorded) in results {
        tell_output(module, recorded, transcript);
    }
    transcript.push(Transcript::Results);
    let mut passed = Vec::new();
    let mut viable = true;
    let mut erred = false;
    for &(module, recorded) in results {
        let verdict = match recorded {
            Recorded::Mismatch { .. } => &Verdict::Error { code: None, cause: None },
            Recorded::Ran(run) => &run.verdict,
        };
        match verdict {
            Verdict::Pass(plan) => {
                transcript.push(Transcript::Pass(module.clone()));
                passed.push(Passed { module, plan });
                continue;
            }
            Verdict::Fail => transcript.push(Transcript::OptedOut(module.clone())),
            Verdict::Error { code, .. } => {
                transcript.push(Transcript::Erred(module.clone(), *code));
                erred = true;
            }
        }
        viable &= module.optional;
    }
    if !viable {
        return Err(if erred { Stop::BuildpackFailed } else { Stop::NotDetected });
    }
    if passed.iter().all(|passed| passed.module.kind == ModuleKind::Extension) {
        transcript.push(Transcript::NoViableBuildpacks);
        return Err(Stop::NotDetected);
    }
    Ok(passed)
}

/// Tells what a program printed, and why it counts as failed.
fn tell_output(module: &GroupElement, recorded: &Recorded, transcript: &mut Vec<Transcript>) {
    let module = module.clone();
    match recorded {
        Recorded::Mismatch { run, supported } => {
            transcript.push(Transcript::TargetMismatch { module, run: run.clone(), supported: supported.clone() });
        }
        Recorded::Ran(run) => {
            if !run.output.is_empty() {
                let erred = matches!(run.verdict, Verdict::Error { .. });
                transcript.push(Transcript::Output { module: module.clone(), erred, output: Arc::clone(&run.output) });
            }
            if let Verdict::Error { cause: Some(cause), .. } = &run.verdict {
                transcript.push(Transcript::Error { module, cause: cause.clone() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{element, extension, optional};
    use super::*;
    use crate::buildpack::detect::Run;
    use crate::model::plan::DetectPlan;

    fn ran(verdict: Verdict) -> Recorded {
        Recorded::Ran(Run { output: Arc::default(), verdict })
    }

    fn passes() -> Recorded {
        ran(Verdict::Pass(DetectPlan::default()))
    }

    fn fails() -> Recorded {
        ran(Verdict::Fail)
    }

    fn errs() -> Recorded {
        ran(Verdict::Error { code: Some(5), cause: None })
    }

    fn judged(modules: &[(GroupElement, Recorded)]) -> Result<usize, &'static str> {
        let results: Vec<_> = modules.iter().map(|(module, recorded)| (module, recorded)).collect();
        match judge(&results, &mut Vec::new()) {
            Ok(passed) => Ok(passed.len()),
            Err(Stop::NotDetected) => Err("fails"),
            Err(_) => Err("errs"),
        }
    }

    #[test]
    fn required_modules_must_pass() {
        assert_eq!(judged(&[(element("a@1"), passes()), (element("b@1"), passes())]), Ok(2));
        assert_eq!(judged(&[(element("a@1"), passes()), (element("b@1"), fails())]), Err("fails"));
        assert_eq!(judged(&[(element("a@1"), passes()), (element("b@1"), errs())]), Err("errs"));
    }

    #[test]
    fn optional_modules_need_not_but_their_error_is_told_when_another_fails() {
        assert_eq!(judged(&[(element("a@1"), passes()), (optional("b@1"), errs())]), Ok(1));
        assert_eq!(judged(&[(element("a@1"), fails()), (optional("b@1"), errs())]), Err("errs"));
    }

    #[test]
    fn some_buildpack_must_pass() {
        assert_eq!(judged(&[(optional("a@1"), fails()), (optional("b@1"), errs())]), Err("fails"));
        assert_eq!(judged(&[(extension("e@1"), passes()), (optional("b@1"), fails())]), Err("fails"));
        assert_eq!(judged(&[]), Err("fails"));
    }

    #[test]
    fn a_target_mismatch_is_an_error() {
        let mismatch = Recorded::Mismatch { run: crate::model::target::RunTarget::default(), supported: Vec::new() };
        assert_eq!(judged(&[(element("a@1"), mismatch)]), Err("errs"));
    }

    #[test]
    fn the_transcript_has_output_first_and_results_after() {
        let a = element("a@1");
        let b = element("b@1");
        let quiet = passes();
        let loud = Recorded::Ran(Run {
            output: b"boom".as_slice().into(),
            verdict: Verdict::Error { code: None, cause: Some("broken".into()) },
        });
        let mut transcript = Vec::new();
        assert!(judge(&[(&a, &quiet), (&b, &loud)], &mut transcript).is_err());
        assert_eq!(
            transcript,
            [
                Transcript::Output { module: b.clone(), erred: true, output: b"boom".as_slice().into() },
                Transcript::Error { module: b.clone(), cause: "broken".into() },
                Transcript::Results,
                Transcript::Pass(a),
                Transcript::Erred(b, None),
            ],
        );
    }
}
