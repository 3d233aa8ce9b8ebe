//! `ubtrfs mkfs`

use std::path::Path;

use btrfs_volume::device::FileDevice;
use btrfs_volume::{MkfsOptions, Volume};

use crate::cli::Mkfs;
use crate::error::Error;
use crate::image::{NewImage, volume_options};
use crate::report::Report;
use crate::sync::Arc;

/// Memory for the few nodes of an empty volume.
const MEMORY: u64 = 32 << 20;

/// Makes an empty volume.
///
/// # Errors
///
/// The image cannot be made.
pub fn run(args: &Mkfs, report: &Report) -> Result<(), Error> {
    let options = volume_options(&args.volume, MEMORY, now()?)?;
    let image = NewImage::begin(&args.image, args.volume.force)?;
    let volume = make(&image, &options)?;
    let failed = |error: btrfs_volume::Error| Error::path(&args.image, error);
    volume.finish_growth().map_err(failed)?;
    report.interrupt().check()?;
    drop(volume);
    image.publish()
}

/// A volume in the file of a new image.
pub(crate) fn make(image: &NewImage, options: &MkfsOptions) -> Result<Volume, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::path(image.path(), error);
    let file = image.file().try_clone().map_err(|e| failed(&e))?;
    if let Some(size) = options.size {
        file.set_len(size).map_err(|e| failed(&e))?;
    }
    let device = FileDevice::from_file(file);
    Volume::mkfs(Arc::new(device), options).map_err(|e| failed(&e))
}

/// The time at which things are made: SOURCE_DATE_EPOCH if it is set.
///
/// # Errors
///
/// SOURCE_DATE_EPOCH is no number.
pub(crate) fn now() -> Result<i64, Error> {
    if let Some(epoch) = source_date_epoch()? {
        return Ok(epoch);
    }
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(since_1970.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX)))
}

/// See <https://reproducible-builds.org/specs/source-date-epoch/>.
pub(crate) fn source_date_epoch() -> Result<Option<i64>, Error> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    let number = text.to_str().and_then(|text| text.parse().ok());
    let wrong = || {
        let text = Path::new(&text).display();
        Error::Usage(format!(
            "SOURCE_DATE_EPOCH is '{text}', not seconds since 1970"
        ))
    };
    number.map(Some).ok_or_else(wrong)
}
