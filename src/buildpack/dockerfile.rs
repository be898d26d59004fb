//! What the Dockerfiles of an extension may be.
//!
//! Clause: image_extension.md#dockerfile-requirements; catalogue extend-launch-package, section A4.

use crate::effect::Effects;
use crate::effect::events::GenerateEvent;
use crate::model::dockerfile::{Command, Dockerfile, DockerfileKind, Instruction};
use crate::schema;

/// What a Dockerfile starts from when it extends the image that is there.
const BASE: &str = "${base_image}";

/// Instructions that extensions may use without a warning.
const RECOMMENDED: [&str; 10] = ["FROM", "ADD", "ARG", "COPY", "ENV", "LABEL", "RUN", "SHELL", "USER", "WORKDIR"];

/// What a run.Dockerfile does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunDockerfile {
    /// The image that it starts from, byte for byte, when that is another one.
    pub base: Option<String>,
    /// It adds something to the image.
    pub extends: bool,
}

/// Why a Dockerfile is none for an extension. The texts are the reference's.
#[derive(Debug, thiserror::Error)]
pub enum DockerfileError {
    /// It cannot be read as one.
    #[error(transparent)]
    Syntax(#[from] schema::Error),
    /// It has more than one stage.
    #[error("{} is not permitted to use multistage build", .0.file_name())]
    Multistage(DockerfileKind),
    /// It has no `FROM`.
    #[error("{} should have at least one stage", .0.file_name())]
    NoStage(DockerfileKind),
    /// A build.Dockerfile does not begin with `ARG base_image` alone.
    #[error("build.Dockerfile did not start with required ARG command")]
    NoArgument,
    /// A build.Dockerfile starts from something else than the builder.
    #[error("build.Dockerfile did not contain required FROM ${{base_image}} command")]
    OtherBase,
}

/// Checks a build.Dockerfile.
///
/// # Errors
/// See [`DockerfileError`].
pub fn check_build(effects: &Effects<'_>, text: &str) -> Result<(), DockerfileError> {
    let file = schema::dockerfile::parse(text)?;
    let stage = only_stage(effects, &file, DockerfileKind::Build)?;
    let [Instruction { command: Command::Arg(arguments), .. }] = file.preamble() else {
        return Err(DockerfileError::NoArgument);
    };
    if arguments.first().is_none_or(|argument| argument.name != "base_image") {
        return Err(DockerfileError::NoArgument);
    }
    match stage {
        None => Err(DockerfileError::NoStage(DockerfileKind::Build)),
        Some((base, _)) if base != BASE => Err(DockerfileError::OtherBase),
        Some(_) => Ok(()),
    }
}

/// Checks a run.Dockerfile, and says what it does.
///
/// # Errors
/// See [`DockerfileError`].
pub fn check_run(effects: &Effects<'_>, text: &str) -> Result<RunDockerfile, DockerfileError> {
    let file = schema::dockerfile::parse(text)?;
    let stage = only_stage(effects, &file, DockerfileKind::Run)?;
    let (base, instructions) = stage.ok_or(DockerfileError::NoStage(DockerfileKind::Run))?;
    Ok(RunDockerfile { base: (base != BASE).then(|| base.to_owned()), extends: !instructions.is_empty() })
}

/// The stage of a Dockerfile, if it has one; instructions in it that are not recommended are told.
fn only_stage<'f>(
    effects: &Effects<'_>,
    file: &'f Dockerfile,
    kind: DockerfileKind,
) -> Result<Option<(&'f str, &'f [Instruction])>, DockerfileError> {
    let mut stages = file.stages();
    let stage = stages.next();
    if stages.next().is_some() {
        return Err(DockerfileError::Multistage(kind));
    }
    for instruction in stage.iter().flat_map(|(_, instructions)| *instructions) {
        let name = instruction.command.name();
        if !RECOMMENDED.contains(&name) {
            effects.emit(GenerateEvent::NotRecommended { kind, instruction: name, line: instruction.line });
        }
    }
    Ok(stage)
}
