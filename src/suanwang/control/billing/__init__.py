"""From time on a site to the last fen: metering, settling, wallets, vouchers, bills and what proves them."""
