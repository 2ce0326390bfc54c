/* The most multiply-adds per second that one thread of this machine does now, counting two operations each: what a
 * model's FLOP/s are compared with. Takes about a tenth of a second. */
#ifndef TENON_CMD_PEAK_H
#define TENON_CMD_PEAK_H

double peak_flops(void);

#endif
