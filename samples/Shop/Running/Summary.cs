using Microsoft.EntityFrameworkCore;
using Millrace;

namespace Shop;

/// <summary>What a run did, for people.</summary>
internal static class Summary
{
    public static async Task WriteAsync(
        TextWriter output, ShopOptions options, OrderRun run, TimeSpan elapsed, RetryCounter retries, ISagaClient sagas, CancellationToken cancellationToken)
    {
        await using ShopDatabases databases = new(options);
        Audit audit = await Audit.ReadAsync(options, cancellationToken);
        List<string> cancelled = await databases.Orders.Orders
            .Where(order => order.Status == OrderStatus.Cancelled)
            .Select(order => order.Id)
            .ToListAsync(cancellationToken);
        int mailCount = await databases.Notifications.Mails.CountAsync(cancellationToken);

        await output.WriteLineAsync();
        await output.WriteLineAsync(run.PlacedCount > 0
            ? Text($"{run.PlacedCount} orders placed, and {audit.CompletedCount + audit.CancelledCount} of {audit.OrderCount} have ended, after {elapsed.TotalSeconds:F1} s ({run.PlacedCount / elapsed.TotalSeconds:F0} orders a second).")
            : Text($"{Path.GetFullPath(options.DataDirectory)} holds {audit.OrderCount} orders already: none was placed. Ask for more with --orders, or give another --data."));
        await output.WriteLineAsync(Text($"{audit.CompletedCount,7} completed: reserved, paid, shipped"));
        await output.WriteLineAsync(Text($"{audit.CancelledCount,7} compensated: what had happened was undone, in reverse order"));
        foreach (IGrouping<string, string> reason in cancelled
            .GroupBy(id => sagas.Find<PlaceOrderSaga>(id)?.Reason ?? "The reason is not known here.")
            .OrderByDescending(reason => reason.Count()))
        {
            await output.WriteLineAsync(Text($"{reason.Count(),11} {reason.Key}"));
        }

        if (audit.Stuck.Count > 0)
        {
            await output.WriteLineAsync(Text($"{audit.Stuck.Count,7} neither"));
        }

        await output.WriteLineAsync(Text($"{retries.RetryCount,7} attempts failed and were repeated"));
        await output.WriteLineAsync(Text($"{retries.DeadLetterCount,7} messages were given up and kept as dead letters"));
        await output.WriteLineAsync(Text($"{mailCount,7} e-mails in {options.OutboxDirectory}"));
        await output.WriteLineAsync(Text($"  money: {Price(audit.ChargedCents)} charged, {Price(audit.RefundedCents)} refunded, {Price(audit.CompletedCents)} due for the completed orders"));
        await output.WriteLineAsync(Text($"  goods: {audit.LeftShelf} left the shelf, {audit.Shipped} were shipped"));
        foreach (string problem in audit.Problems())
        {
            await output.WriteLineAsync($"  WRONG: {problem}");
        }
    }

    private static string Price(long cents) => Text($"{cents / 100m:N2}");

    private static string Text(FormattableString text) => FormattableString.Invariant(text);
}
