//! Setting containers aside: they are renamed and stopped, so that their names and ports are free for new ones.

use std::time::Instant;

use super::client::Client;
use super::error::Error;
use crate::model::ids::OperationId;
use crate::model::original::{Original, PriorState};

impl Client<'_> {
    /// Gives a container the name that says how to restore it. This comes before anything else is done to it. It is no
    /// error if the container is gone.
    pub fn park(&self, original: &Original, operation: &OperationId) -> Result<(), Error> {
        let parked = original.parked_by(operation).to_string();
        let renamed = self.rename(&original.id, &parked);
        self.unless_gone(&original.id, renamed)
    }

    /// Frees the ports of parked containers, and everything else that only one container can have. Returns the line for
    /// the log of the operation. It is no error if a container is gone.
    pub fn stop_parked(&self, parked: &[Original]) -> Result<String, Error> {
        let begun = Instant::now();
        let (stay, stop): (Vec<&Original>, Vec<&Original>) = parked
            .iter()
            .partition(|original| original.removed_when_stopped);
        for paused in stop.iter().filter(|one| one.was == PriorState::Paused) {
            // podman does not stop a paused container. If this fails, stopping it does, too, and says why.
            let _ = self.unpause(&paused.id);
        }
        let stop: Vec<&str> = stop.iter().map(|original| original.id.as_str()).collect();
        self.stop(&stop)?;
        for original in stay {
            self.unless_gone(&original.id, self.disable(original))?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let names = parked.iter().map(|original| original.name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        Ok(format!(
            "stopping the old container {names} took {seconds:.1} s"
        ))
    }

    /// Frees the ports of a container that docker would remove if it were stopped.
    fn disable(&self, original: &Original) -> Result<(), Error> {
        if original.was == PriorState::Running {
            self.pause(&original.id)?;
        }
        for network in &original.leaves_networks {
            self.disconnect(&original.id, network)?;
        }
        Ok(())
    }
}
