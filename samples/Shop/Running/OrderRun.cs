namespace Shop;

/// <summary>How a run came to its end.</summary>
internal enum RunEnd
{
    /// <summary>Every order has ended, and everybody has heard of it.</summary>
    Quiet,

    /// <summary>Nothing has moved for so long that nothing will.</summary>
    Stuck,

    /// <summary>Somebody asked the program to stop.</summary>
    Interrupted,
}

/// <summary>Places orders until the shop holds as many as it should, and waits until all have ended.</summary>
internal sealed class OrderRun(ShopOptions options, OrderDesk desk, ProgressLine progress, RetryCounter retries, TimeProvider time)
{
    /// <summary>Orders under way at one time: enough to keep the disk busy.</summary>
    public const int MaxOpenOrders = 128;

    /// <summary>When nothing at all has happened for so long, waiting longer does not help: on a cluster, brokers and processes may be missed for a while.</summary>
    public TimeSpan IdleLimit => TimeSpan.FromSeconds(options.Kafka is null ? 60 : 180);

    private static readonly TimeSpan s_lookInterval = TimeSpan.FromMilliseconds(200);

    /// <summary>How many orders this run placed.</summary>
    public int PlacedCount { get; private set; }

    public async Task<RunEnd> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await PlaceAndWaitAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return RunEnd.Interrupted;
        }
        finally
        {
            progress.End();
        }
    }

    private async Task<RunEnd> PlaceAndWaitAsync(CancellationToken cancellationToken)
    {
        await using ShopDatabases databases = new(options);
        await desk.ResumeAsync(cancellationToken);
        HashSet<string> known = await databases.ReadOrderIdsAsync(cancellationToken);
        using IEnumerator<PlaceOrder> next = GeneratedOrders.Except(options.Seed, known).GetEnumerator();
        using PeriodicTimer timer = new(s_lookInterval, time);
        (Tally Tally, long Retries)? last = null;
        long lastMove = time.GetTimestamp();
        while (true)
        {
            Tally tally = await databases.CountAsync(cancellationToken);
            progress.Show(tally, Math.Max(tally.Accepted, options.OrderCount), retries.RetryCount);
            // What comes over HTTP meanwhile counts too.
            int missingCount = options.OrderCount - tally.Accepted;
            if (missingCount <= 0 && tally.IsQuiet)
            {
                return RunEnd.Quiet;
            }

            int placeableCount = Math.Min(missingCount, MaxOpenOrders - tally.Open);
            if (placeableCount > 0)
            {
                await desk.AcceptAsync(Take(next, placeableCount), cancellationToken);
                PlacedCount += placeableCount;
            }

            (Tally, long) now = (tally, retries.RetryCount);
            if (now != last)
            {
                last = now;
                lastMove = time.GetTimestamp();
            }
            else if (time.GetElapsedTime(lastMove) > IdleLimit)
            {
                return RunEnd.Stuck;
            }

            await timer.WaitForNextTickAsync(cancellationToken);
        }
    }

    private static List<PlaceOrder> Take(IEnumerator<PlaceOrder> orders, int count)
    {
        List<PlaceOrder> taken = new(count);
        while (taken.Count < count && orders.MoveNext())
        {
            taken.Add(orders.Current);
        }

        return taken;
    }
}
