using Microsoft.Extensions.Hosting;

namespace Millrace;

/// <summary>Adds Millrace to an application.</summary>
public static class MillraceHostExtensions
{
    /// <summary>
    /// Adds Millrace to the host. The log comes up before the first hosted service starts and goes down after the last has
    /// stopped; in between, handlers run and <see cref="IMessageBus"/> publishes. Modules may each call it.
    /// </summary>
    /// <param name="builder">The application's builder, web or not.</param>
    /// <param name="configure">Says which log, which endpoints and which options.</param>
    /// <returns>The application's builder.</returns>
    /// <example><code>
    /// builder.AddMillrace(millrace =>
    /// {
    ///     millrace.UseEmbedded(options => options.DataDirectory = "data");
    ///     millrace.AddEndpoint("payment", endpoint => endpoint.AddHandlers&lt;PaymentHandlers&gt;());
    /// });
    /// </code></example>
    public static IHostApplicationBuilder AddMillrace(this IHostApplicationBuilder builder, Action<MillraceBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);
        configure(MillraceBuilder.AddTo(builder.Services));
        return builder;
    }
}
