//! The files of cached layers.
//!
//! Catalogue 1, section 4.3, C, and section 4.4; policy P14, P15, P28.

use std::convert::Infallible;
use std::io::Read;
use std::path::PathBuf;

use super::metadata::Written;
use super::{Error, Inputs, Restored, sbom};
use crate::archive::{Extracted, Hashing, extract_verified};
use crate::buildpack::layers;
use crate::effect::Effects;
use crate::effect::events::{Facts, Outcome, RestoreEvent, Work};
use crate::model::app_metadata::CacheMetadata;
use crate::model::digest::DiffId;
use crate::model::id::{LayerName, ModuleId};
use crate::model::seal::{Seal, Seals};
use crate::phase::parallel;

/// The size in bytes of an archive that is not to be read again.
const WORTH_A_SEAL: u64 = 1 << 20;

/// A layer whose files the cache has.
#[derive(Debug)]
pub(super) struct CachedLayer {
    buildpack: ModuleId,
    name: LayerName,
    diff_id: DiffId,
}

/// Chooses the layers to restore: those that are there, by a toml or a folder, and that the cache has in the very form
/// their toml came with. Others that the cache knows are removed.
pub(super) fn choose(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    cache_metadata: &CacheMetadata,
    written: &Written,
) -> Result<Vec<CachedLayer>, Error> {
    let mut chosen = Vec::new();
    for buildpack in &inputs.group.buildpacks {
        let Some(stored) = cache_metadata.buildpack(buildpack.id.as_str()) else { continue };
        let dir = inputs.layers.buildpack(&buildpack.id);
        layers::refuse_link(&dir).map_err(Error::Folder)?;
        for layer in layers::list(&dir).map_err(Error::Folder)? {
            let Some(cached) = stored.layers.get(layer.name.as_str()).filter(|cached| cached.types.cache) else {
                continue;
            };
            let identifier = format!("{}:{}", buildpack.id, layer.name);
            let known = written.get(&(buildpack.id.clone(), layer.name.to_string())).and_then(Option::as_ref);
            match &cached.sha {
                Some(diff_id) if known == Some(diff_id) => {
                    effects.emit(RestoreEvent::Data { layer: identifier, diff_id: diff_id.clone() });
                    chosen.push(CachedLayer {
                        buildpack: buildpack.id.clone(),
                        name: layer.name,
                        diff_id: diff_id.clone(),
                    });
                }
                sha => {
                    let text = |sha: Option<&DiffId>| sha.map(ToString::to_string).unwrap_or_default();
                    effects.emit(RestoreEvent::WrongSha {
                        layer: identifier,
                        layer_sha: text(known),
                        cache_sha: text(sha.as_ref()),
                    });
                    layers::remove(&dir, &layer.name).map_err(Error::Remove)?;
                }
            }
        }
    }
    Ok(chosen)
}

/// One layer of the cache, and the one folder that it may write.
struct Job {
    identifier: String,
    diff_id: DiffId,
    folder: PathBuf,
    /// Its buildpack's folder and its name; `None` for the SBOM files.
    layer: Option<(PathBuf, LayerName)>,
}

/// Restores layers, and the SBOM layer, several at once. Warnings and errors come in the order of the layers.
pub(super) fn restore(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    chosen: &[CachedLayer],
    sbom: Option<&DiffId>,
) -> Result<Restored, Error> {
    let mut jobs: Vec<Job> = chosen
        .iter()
        .map(|layer| Job {
            identifier: format!("{}:{}", layer.buildpack, layer.name),
            diff_id: layer.diff_id.clone(),
            folder: inputs.layers.layer(&layer.buildpack, &layer.name),
            layer: Some((inputs.layers.buildpack(&layer.buildpack), layer.name.clone())),
        })
        .collect();
    jobs.extend(sbom.map(|diff_id| Job {
        identifier: "sbom".to_owned(),
        diff_id: diff_id.clone(),
        folder: sbom::cached(&inputs.layers),
        layer: None,
    }));
    let mut results = Vec::with_capacity(jobs.len());
    let size = |job: &Job| inputs.cache.and_then(|cache| cache.size(&job.diff_id)).unwrap_or(0);
    let share = jobs.iter().map(size).sum::<u64>() / parallel::cores() as u64;
    let Ok(()) = parallel::in_order_by(
        parallel::MAX_THREADS,
        &jobs,
        |job| {
            // A layer that is more than its share would leave cores without work at the end.
            let hashing = if size(job) > share || jobs.len() == 1 { Hashing::Ahead } else { Hashing::Here };
            Ok::<_, Infallible>(run(effects, inputs, job, hashing))
        },
        |_, result| results.push(result),
    );
    let is_unsound = |result: &Result<_, Problem>| matches!(result, Err(Problem::Cache(_)));
    let unsound = jobs.iter().zip(&results).filter(|(_, result)| is_unsound(result));
    let unsound = unsound.map(|(job, _)| job.diff_id.clone()).collect();
    // Every layer is finished before the first error is told: none may stay behind in part.
    let restored: Vec<_> =
        jobs.iter().zip(&results).filter_map(|(job, result)| Some((job, result.as_ref().ok()?.clone()))).collect();
    jobs.iter().zip(results).map(|(job, result)| finish(effects, job, result)).fold(Ok(()), Result::and)?;
    Ok(Restored { seals: seal(inputs, &restored), unsound })
}

/// Seals what was restored, if it is much: reading little again costs less than the wait.
fn seal(inputs: &Inputs<'_>, restored: &[(&Job, Extracted)]) -> Seals {
    let mut seals = Seals::default();
    let large: Vec<_> = restored.iter().filter(|(_, extracted)| extracted.size >= WORTH_A_SEAL).collect();
    let Ok(()) = parallel::in_order(
        &large,
        // Without a seal the layer is read again.
        |(job, extracted)| Ok::<_, Infallible>(Seal::new(&job.folder, &job.diff_id, extracted)),
        |(job, _), seal| {
            if let Ok(Some(seal)) = seal {
                seals.insert(job.folder.clone(), seal);
            }
            if let Some(cache) = inputs.cache {
                cache.verified(&job.diff_id);
            }
        },
    );
    seals
}

/// What kept a layer from being restored.
enum Problem {
    /// The cache has it not, or something else.
    Cache(String),
    /// Its files cannot be written.
    Write(String),
}

/// Restores one layer, with nothing of an earlier build left among its files.
fn run(effects: &Effects<'_>, inputs: &Inputs<'_>, job: &Job, hashing: Hashing) -> Result<Extracted, Problem> {
    let work = effects.begin(Work::RestoreLayer(job.identifier.clone()));
    let mut bytes = 0;
    let result = layers::remove_tree(&job.folder)
        .map_err(|error| Problem::Write(error.to_string()))
        .and_then(|()| unpack(inputs, job, hashing, &mut bytes));
    let (outcome, error_type) = match &result {
        Ok(_) => (Outcome::Success, None),
        Err(Problem::Cache(_)) => (Outcome::Failure, Some("cache")),
        Err(Problem::Write(_)) => (Outcome::Error, Some("io")),
    };
    work.end(outcome, Facts { bytes: Some(bytes), cache_hit: Some(result.is_ok()), error_type, ..Facts::default() });
    result
}

/// Extracts a layer of the cache, which must have the diff id that it goes by.
fn unpack(inputs: &Inputs<'_>, job: &Job, hashing: Hashing, bytes: &mut u64) -> Result<Extracted, Problem> {
    let cache = inputs.cache.ok_or_else(|| Problem::Cache("cache not provided".to_owned()))?;
    let layer = cache.layer(&job.diff_id).map_err(|error| Problem::Cache(error.to_string()))?;
    let input = Counted { inner: layer, bytes };
    extract_verified(input, &job.diff_id, &inputs.extract_root, &job.folder, hashing).map_err(|error| {
        let reason = error.to_string();
        if error.blames_archive() { Problem::Cache(reason) } else { Problem::Write(reason) }
    })
}

/// Tells what became of a layer; what could not be restored is removed.
fn finish(effects: &Effects<'_>, job: &Job, result: Result<Extracted, Problem>) -> Result<(), Error> {
    let layer = || job.identifier.clone();
    let problem = match result {
        Ok(extracted) => {
            if extracted.skipped_count > 0 {
                effects.emit(RestoreEvent::FilesSkipped {
                    layer: layer(),
                    count: extracted.skipped_count,
                    first: extracted.skipped,
                });
            }
            return Ok(());
        }
        Err(problem) => problem,
    };
    let Some((dir, name)) = &job.layer else {
        // SBOM files are worth no failed build, whatever the problem is.
        let (Problem::Cache(reason) | Problem::Write(reason)) = problem;
        effects.emit(RestoreEvent::SbomSkipped { reason });
        return layers::remove_tree(&job.folder).map_err(Error::Remove);
    };
    match problem {
        Problem::Cache(reason) => {
            effects.emit(RestoreEvent::DataSkipped { layer: layer(), reason });
            layers::remove(dir, name).map_err(Error::Remove)
        }
        Problem::Write(reason) => {
            // It may well be that nothing can be removed either; the first error is the one to tell.
            let _ = layers::remove(dir, name);
            Err(Error::Layer { layer: layer(), reason })
        }
    }
}

/// A reader that counts.
struct Counted<'a> {
    inner: Box<dyn Read + Send>,
    bytes: &'a mut u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        *self.bytes += count as u64;
        Ok(count)
    }
}
