-- What core/settings.py sends with each connection, for connections through PgBouncer: once, as that role or as a superuser.
ALTER ROLE doorcode SET statement_timeout = '15s';
ALTER ROLE doorcode SET lock_timeout = '10s';
ALTER ROLE doorcode SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE doorcode SET default_transaction_isolation = 'read committed';
ALTER ROLE doorcode SET DateStyle = 'ISO';
ALTER ROLE doorcode SET IntervalStyle = 'postgres';
ALTER ROLE doorcode SET plan_cache_mode = 'auto';
ALTER ROLE doorcode SET tcp_user_timeout = 10000;
ALTER ROLE doorcode SET tcp_keepalives_idle = 5;
ALTER ROLE doorcode SET tcp_keepalives_interval = 2;
