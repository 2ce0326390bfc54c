/* Stages of a kernel: loops over parts, of which each begins when all parts of the one before are done.
 *
 * A group that comes to a stage waits until what is before it is done, takes parts from a place of its own on, as long as
 * there are any that nobody has taken, and then counts those it has done. Whoever waits waits for groups that are at
 * work, and these wait for nothing later, so it comes to an end however many run at once: one alone does everything, and
 * what starts late finds nothing left. The words are zero when a kernel starts, else it would wait for ever: the last group
 * to leave puts them back, and the host does after a failure.
 *
 * For devices on which a group that has begun goes on whatever others do (a CPU's threads): stages of a device's record.
 */
enum { TENON_LEFT = 16, TENON_DONE = 32, TENON_TAKEN = 64 }; /* words: groups that have left; parts that are done; by
                                                              * part, the stages in which it has been taken */
struct tenon_turn {
    volatile __global int *words;
    int stage, first; /* parts before the stage */
    int tried, done;  /* of the stage; tried -1: it is to begin */
    int most;         /* parts of the largest stage */
};

/* The next part of a stage of so many; -1: there are no more, the stage is over for this group. */
static long tenon_next(struct tenon_turn *turn, long parts)
{
    const int n = (int)parts, start = (int)(get_group_id(0)*n/get_num_groups(0));
    volatile __global int *done = turn->words + TENON_DONE, *taken = turn->words + TENON_TAKEN;
    if (turn->tried < 0) {
        int before = atomic_add(done, 0);
        while (before < turn->first) before = atomic_add(done, 0);
        mem_fence(CLK_GLOBAL_MEM_FENCE);
        turn->tried = before < turn->first + n ? 0 : n;
    }
    while (turn->tried < n) {
        const int part = (start + turn->tried++) % n;
        if (atomic_max(taken + part, turn->stage + 1) > turn->stage) continue;
        turn->done++;
        return part;
    }
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    if (turn->done) atomic_add(done, turn->done);
    turn->first += n;
    turn->stage++;
    turn->tried = -1;
    turn->done = 0;
    turn->most = max(turn->most, n);
    return -1;
}

static void tenon_leave(const struct tenon_turn *turn)
{
    if (atomic_inc(turn->words + TENON_LEFT) < (int)get_num_groups(0) - 1) return;
    for (int part = 0; part < turn->most; part++) turn->words[TENON_TAKEN + part] = 0;
    turn->words[TENON_LEFT] = turn->words[TENON_DONE] = 0;
}

