//! Undoing a reservation on request: what may be cancelled, and what is given back at the end.

use super::reservation::{Illegal, Keeps, Moved, Reservation, State, StockMove};

impl Reservation {
    /// Its owner does not want it any more. From here on only backwards steps are taken: money first,
    /// then the stock.
    ///
    /// # Errors
    /// [`Illegal`] when it never came about, or is being cancelled already.
    pub fn begin_cancel(self) -> Result<Moved, Illegal> {
        match self.state {
            State::Pending | State::Held { .. } | State::Confirmed | State::Attention { .. } => {
                let keeps = self.state.keeps();
                Ok(self.to(State::Cancelling { keeps }, StockMove::None))
            }
            State::Rejected
            | State::Failed
            | State::Expired
            | State::Cancelling { .. }
            | State::Cancelled => Err(self.illegal()),
        }
    }

    /// Everything is undone.
    ///
    /// # Errors
    /// [`Illegal`] unless it is being cancelled.
    pub fn finish_cancel(self) -> Result<Moved, Illegal> {
        match self.state {
            State::Cancelling { keeps } => {
                let stock = match keeps {
                    Keeps::Nothing => StockMove::None,
                    Keeps::Held => StockMove::Release,
                    Keeps::Sold => StockMove::TakeBack,
                };
                Ok(self.to(State::Cancelled, stock))
            }
            _ => Err(self.illegal()),
        }
    }
}
