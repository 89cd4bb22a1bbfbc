using System.Reflection;
using Microsoft.Extensions.Logging;

namespace Millrace.Log.Tests;

public class LogMessagesTests
{
    [Fact]
    public void Event_ids_are_unique_and_in_the_band_of_the_log()
    {
        List<int> ids = [.. typeof(LogMessages).GetMethods(BindingFlags.Static | BindingFlags.Public)
            .Select(static method => method.GetCustomAttribute<LoggerMessageAttribute>()?.EventId ?? -1)
            .Where(static id => id >= 0)];
        Assert.NotEmpty(ids);
        Assert.Equal(ids.Count, ids.Distinct().Count());
        Assert.All(ids, static id => Assert.InRange(id, 1000, 1999));
    }
}
