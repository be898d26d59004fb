//! Processes of all buildpacks of a build, and which of them is the default.
//!
//! Clause: platform.md#builder; catalogue 1, section 5.7.

use std::collections::BTreeMap;

use crate::model::process::Process;

/// The processes so far: a later one takes the place of an earlier one of its type.
#[derive(Debug, Default)]
pub(super) struct Processes {
    by_type: BTreeMap<String, Process>,
    /// Empty when there is none. A process without a type therefore counts as a redefinition, as in the reference.
    default_type: String,
}

impl Processes {
    /// Adds what one buildpack contributes. Returns the type of the default process if the last word on it was a process
    /// that takes its place without being a default itself.
    pub(super) fn add(&mut self, processes: Vec<Process>) -> Option<String> {
        let mut redefined = None;
        for process in processes {
            if process.default {
                self.default_type.clone_from(&process.r#type);
                redefined = None;
            } else if process.r#type == self.default_type {
                self.default_type.clear();
                redefined = Some(process.r#type.clone());
            }
            self.by_type.insert(process.r#type.clone(), Process { default: false, ..process });
        }
        redefined
    }

    /// All processes sorted by type, and the type of the default one.
    pub(super) fn finish(self) -> (Vec<Process>, Option<String>) {
        let default = (!self.default_type.is_empty()).then_some(self.default_type);
        (self.by_type.into_values().collect(), default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(kind: &str, command: &str, default: bool) -> Process {
        Process { r#type: kind.into(), command: vec![command.into()], default, ..Process::default() }
    }

    /// Types and commands, the default type, and what each addition redefined.
    type Finished = (Vec<(String, String)>, Option<String>, Vec<Option<String>>);

    fn finished(given: Vec<Vec<Process>>) -> Finished {
        let mut processes = Processes::default();
        let warnings = given.into_iter().map(|processes_of_one| processes.add(processes_of_one)).collect();
        let (list, default) = processes.finish();
        let list = list.into_iter().map(|process| (process.r#type, process.command.concat())).collect();
        (list, default, warnings)
    }

    #[test]
    fn the_last_process_of_a_type_wins_and_the_list_is_sorted() {
        let (list, default, warnings) = finished(vec![
            vec![process("web", "a", false), process("b", "b", false)],
            vec![process("web", "c", false)],
        ]);
        assert_eq!(list, [("b".into(), "b".into()), ("web".into(), "c".into())]);
        assert_eq!((default, warnings), (None, vec![None, None]));
    }

    #[test]
    fn a_later_default_wins() {
        let (_, default, warnings) = finished(vec![vec![process("a", "", true)], vec![process("b", "", true)]]);
        assert_eq!((default.as_deref(), warnings), (Some("b"), vec![None, None]));
    }

    #[test]
    fn redefining_the_default_without_being_one_clears_it() {
        let (_, default, warnings) = finished(vec![vec![process("a", "", true)], vec![process("a", "", false)]]);
        assert_eq!((default, warnings), (None, vec![None, Some("a".into())]));
    }

    #[test]
    fn a_default_behind_a_redefinition_takes_the_warning_back() {
        let (_, default, warnings) =
            finished(vec![vec![process("a", "", true)], vec![process("a", "", false), process("b", "", true)]]);
        assert_eq!((default.as_deref(), warnings), (Some("b"), vec![None, None]));
    }

    #[test]
    fn a_process_without_a_type_counts_as_a_redefinition() {
        assert_eq!(finished(vec![vec![process("", "", false)]]).2, [Some(String::new())]);
    }
}
