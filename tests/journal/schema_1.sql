BEGIN TRANSACTION;
CREATE TABLE decisions (
	run_id VARCHAR(32) NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	bar_close_ns BIGINT NOT NULL, 
	direction SMALLINT NOT NULL, 
	score FLOAT NOT NULL, 
	reason TEXT NOT NULL, 
	detail JSON NOT NULL, 
	PRIMARY KEY (run_id, symbol, bar_close_ns), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "decisions" VALUES('20260131T120000Z-000001','BTC/USDT',1769860800000000000,1,0.25,'limit','{"x":1}');
CREATE TABLE feedback (
	number INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	agrees BOOLEAN, 
	detail JSON NOT NULL, 
	recorded_at_ns BIGINT NOT NULL, 
	PRIMARY KEY (number), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "feedback" VALUES(1,'20260131T120000Z-000001','BTC/USDT','backtest',NULL,'{"trades":3}',1769860800000000000);
CREATE TABLE fills (
	number INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	client_id VARCHAR(128) NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	side VARCHAR(8) NOT NULL, 
	quantity FLOAT NOT NULL, 
	price FLOAT NOT NULL, 
	fee_quote FLOAT NOT NULL, 
	filled_at_ns BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (client_id, filled_at_ns, quantity, price), 
	FOREIGN KEY(run_id) REFERENCES runs (id), 
	FOREIGN KEY(client_id) REFERENCES orders (client_id)
);
INSERT INTO "fills" VALUES(1,'20260131T120000Z-000001','o-1','BTC/USDT','buy',0.1,3.33333333333333314829e-01,0.001,1769860801000000000,'');
CREATE TABLE journal_schema (
	version INTEGER NOT NULL, 
	created_at_ns BIGINT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "journal_schema" VALUES(1,1769860800000000000);
CREATE TABLE model_events (
	number INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	event VARCHAR(32) NOT NULL, 
	detail JSON NOT NULL, 
	recorded_at_ns BIGINT NOT NULL, 
	PRIMARY KEY (number), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "model_events" VALUES(1,'20260131T120000Z-000001','BTC/USDT','0001','trained','{"rows":100}',1769860800000000000);
CREATE TABLE orders (
	client_id VARCHAR(128) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	side VARCHAR(8) NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	quantity FLOAT NOT NULL, 
	price FLOAT, 
	created_at_ns BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (client_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "orders" VALUES('o-1','20260131T120000Z-000001','BTC/USDT','buy','limit',0.1,3.33333333333333314829e-01,1769860800000000000,'');
CREATE TABLE runs (
	id VARCHAR(32) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	started_at_ns BIGINT NOT NULL, 
	finished_at_ns BIGINT, 
	pid INTEGER NOT NULL, 
	process_started_at_ns BIGINT NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	config JSON NOT NULL, 
	data_fingerprint VARCHAR(64) NOT NULL, 
	is_simulated BOOLEAN NOT NULL, 
	summary JSON NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('20260131T120000Z-000001','integrated','done',1769860800000000000,1769860800000000000,999999,1769860000000000000,'elsewhere','{"seed":42,"symbols":["BTC/USDT"]}','abc',1,'{"promoted":false}','0.1.0');
INSERT INTO "runs" VALUES('20260131T120000Z-000002','integrated','running',1769860800000000000,NULL,999999,1769860000000000000,'elsewhere','{}','',0,'{}','0.1.0');
CREATE TABLE steps (
	run_id VARCHAR(32) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	started_at_ns BIGINT NOT NULL, 
	finished_at_ns BIGINT, 
	attempts INTEGER NOT NULL, 
	result JSON, 
	PRIMARY KEY (run_id, name), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "steps" VALUES('20260131T120000Z-000001','refresh','done',1769860800000000000,1769860800000000000,1,'{"candles":12}');
INSERT INTO "steps" VALUES('20260131T120000Z-000001','train','failed',1769860800000000000,1769860800000000000,1,'{"error":"ValueError: bad"}');
CREATE TABLE trials (
	number INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	timeframe VARCHAR(8) NOT NULL, 
	strategy VARCHAR(64) NOT NULL, 
	parameters JSON NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	metrics JSON NOT NULL, 
	sharpe FLOAT, 
	is_simulated BOOLEAN NOT NULL, 
	recorded_at_ns BIGINT NOT NULL, 
	identity VARCHAR(32) NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (run_id, identity), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "trials" VALUES(1,'20260131T120000Z-000001','BTC/USDT','5m','rsi','{"window":14}','backtest','{"sharpe":0.5,"win_rate":null}',0.5,0,1769860800000000000,'4f8f9ebe07e87d7a98724390e22f6efc');
INSERT INTO "trials" VALUES(2,'20260131T120000Z-000001','BTC/USDT','5m','lightgbm','{"leaves":31}','model','{}',NULL,0,1769860800000000000,'27516c311b5bfc6bef028dbc1cf7846a');
CREATE INDEX runs_by_status ON runs (status);
CREATE INDEX runs_by_kind ON runs (kind, started_at_ns);
CREATE INDEX trials_by_subject ON trials (symbol, timeframe, strategy);
CREATE TRIGGER trials_refuse_DELETE BEFORE DELETE ON trials BEGIN SELECT RAISE(ABORT, 'trials are only ever added'); END;
CREATE TRIGGER trials_refuse_UPDATE BEFORE UPDATE ON trials BEGIN SELECT RAISE(ABORT, 'trials are only ever added'); END;
CREATE INDEX model_events_by_symbol ON model_events (symbol);
CREATE INDEX orders_by_run ON orders (run_id, created_at_ns);
CREATE INDEX feedback_by_symbol ON feedback (symbol);
CREATE INDEX fills_by_run ON fills (run_id, filled_at_ns);
COMMIT;
