//! Whether an app image may be put on a run image: by the rules of the Platform API that the app image was made at.
//!
//! Clause: platform.md#rebaser; catalogue 2, section 5.3.

use super::{App, Error};
use crate::api::{PlatformFeature, Version};
use crate::effect::events::Misfit;
use crate::model::image::ImageRecord;
use crate::phase::analyze::target;
use crate::schema::{self, label};

/// Where an app image says at which Platform API it was made.
const PLATFORM_API: &str = "CNB_PLATFORM_API";

/// Checks both images. What `forced` allows is no error.
pub(super) fn images(app: &App, run: &ImageRecord, forced: impl Fn(Misfit) -> Result<(), Error>) -> Result<(), Error> {
    if !has_targets(&app.record)? {
        stack(&app.record, run)?;
        return mixins(&app.record, run);
    }
    if app.record.label(label::REBASABLE) == Some("false") {
        forced(Misfit::NotRebasable)?;
    }
    let (new, old) = (target(run), target(&app.record));
    if !new.can_carry(&old) {
        forced(Misfit::Target { new: schema::target::render(&new), old: schema::target::render(&old) })?;
    }
    Ok(())
}

/// Says whether the app image was made when targets had taken the place of stacks.
fn has_targets(app: &ImageRecord) -> Result<bool, Error> {
    let Some(text) = app.env(PLATFORM_API).filter(|text| !text.is_empty()) else { return Ok(false) };
    let version = Version::parse(text)
        .map_err(|error| Error::Other(format!("failed to get app image platform API: {PLATFORM_API}: {error}")))?;
    Ok(PlatformFeature::RebaseTargets.is_of(version))
}

fn stack(app: &ImageRecord, run: &ImageRecord) -> Result<(), Error> {
    let id = |image: &ImageRecord, which: &str| {
        let id = image.label(label::STACK_ID).filter(|id| !id.is_empty());
        id.map(ToOwned::to_owned).ok_or_else(|| Error::Other(format!("stack not defined on {which}")))
    };
    let (old, new) = (id(app, "app image")?, id(run, "new base image")?);
    if old == new {
        return Ok(());
    }
    Err(Error::Other(format!("incompatible stack: '{new}' is not compatible with '{old}'")))
}

/// Holds that the run image has every mixin that the app image was made with; whether it was said of one stage alone
/// does not matter.
fn mixins(app: &ImageRecord, run: &ImageRecord) -> Result<(), Error> {
    let (wanted, found) = (read_mixins(app, "app image")?, read_mixins(run, "run image")?);
    let mut missing: Vec<String> = wanted.into_iter().filter(|mixin| !found.contains(mixin)).collect();
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Other(format!("missing required mixin(s): {}", missing.join(", "))))
}

fn read_mixins(image: &ImageRecord, which: &str) -> Result<Vec<String>, Error> {
    let key = label::STACK_MIXINS;
    let Some(text) = image.label(key).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    let mixins = label::parse_mixins(text).map_err(|error| {
        Error::Other(format!("get {which} mixins: failed to unmarshal context of label '{key}': {error}"))
    })?;
    let without_stage = |mixin: &String| {
        ["build:", "run:"].iter().find_map(|stage| mixin.strip_prefix(stage)).unwrap_or(mixin).to_owned()
    };
    Ok(mixins.iter().map(without_stage).collect())
}
