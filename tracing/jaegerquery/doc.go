// Package jaegerquery reads traces from Jaeger, by the HTTP API that its own pages
// use (/api/services, /api/traces): Jaeger 1 and 2 have it, with every storage.
//
// # The slowest traces
//
// That API can't sort by duration. A search names one service, returns at most
// limit traces (the newest, where the storage can tell), and can demand that one
// span of the service is at least minDuration long. So Slowest searches each
// service that has spans of Overtake, and when an answer is full, it raises
// minDuration until it has found the duration with which an answer is not full and
// has as many traces as wanted. That takes a few searches for any number of traces.
// What it finds are all traces with one span that is long enough; a trace that is
// slow because many short spans follow each other may be missed then, and Found.Cut
// says so.
package jaegerquery
